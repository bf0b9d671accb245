"""Change a client's policy: a command on the client, audited in its commit.

What time has brought under the old policy stays as it came; from then on the new one holds, also for what is open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Conflict
from keyturn.domain.lifecycle import Decision, audited_facts
from keyturn.domain.model import ClientStatus
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.effects import Environment
    from keyturn.use_cases.client_repository import ClientReading, Clients


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """The use case behind `operator`'s `/clients/{client_id}/policy`."""

    clients: Clients
    environment: Environment

    def __call__(self, client_id: str, changes: Mapping[str, int | bool | None]) -> None:
        """Set the given values, those that are None back to the deployment's; what changes nothing writes nothing.

        `NotFound` without such a client, `Conflict` for a revoked one, `PolicyViolation` for what no client may have.
        """
        until_won(lambda: self._set(self.clients.read_alone(identifier(client_id)), changes), self.environment)

    def _set(self, reading: ClientReading, changes: Mapping[str, int | bool | None]) -> None:
        settled = lifecycle.settle(reading.state, reading.policy, reading.now)
        client = settled.state.client
        if client.status is ClientStatus.REVOKED:
            raise Conflict("client_revoked", "The client is revoked.")
        merged = {**client.policy, **changes}
        overrides = {name: value for name, value in merged.items() if value is not None}
        policy = self.clients.policy.overridden(overrides)
        if overrides == client.policy:
            return
        facts = audited_facts(settled.state)
        told = ", ".join(f"{name}={overrides.get(name, 'default')}" for name in sorted(changes))
        changed = Transition("set_policy", OPERATOR, {"client_id": client.client_id}, facts, facts, told)
        after = lifecycle.settle(replace(settled.state, client=replace(client, policy=overrides)), policy, reading.now)
        decision = Decision(after.state, (*settled.transitions, changed, *after.transitions))
        self.clients.commit(replace(reading, policy=policy), decision)
