"""Change what a client's access tokens say: a command on the client, audited in its commit.

The client's revision rises with it, so verifiers that keep verdicts know of the new terms within the staleness bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Conflict
from keyturn.domain.lifecycle import Decision
from keyturn.domain.model import ClientStatus
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.domain.token_terms import TokenTerms
    from keyturn.ports.effects import Environment
    from keyturn.use_cases.client_repository import ClientReading, Clients

    Change = Callable[[TokenTerms], TokenTerms]


@dataclass(frozen=True, slots=True)
class SetTokenTerms:
    """The use case behind `operator`'s `/clients/{client_id}/tokens`."""

    clients: Clients
    environment: Environment

    def __call__(self, client_id: str, change: Change) -> None:
        """Apply `change` to a client's terms; what changes nothing writes nothing.

        `NotFound` without such a client, `Conflict` for a revoked one, `InvalidRequest` for terms that can't be.
        """
        until_won(lambda: self._set(self.clients.read_alone(identifier(client_id)), change), self.environment)

    def _set(self, reading: ClientReading, change: Change) -> None:
        settled = lifecycle.settle(reading.state, reading.policy, reading.now)
        client = settled.state.client
        if client.status is ClientStatus.REVOKED:
            raise Conflict("client_revoked", "The client is revoked.")
        terms = change(client.tokens).checked()
        if terms == client.tokens:
            return
        ids = {"client_id": client.client_id}
        changed = Transition("set_token_terms", OPERATOR, ids, facts(client.tokens), facts(terms))
        state = replace(settled.state, client=replace(client, tokens=terms))
        self.clients.commit(reading, Decision(state, (*settled.transitions, changed)))


def facts(terms: TokenTerms) -> Mapping[str, object]:
    """Return terms as an audit entry has them: what is left to the deployment is not in it."""
    said = {"audience": terms.audience, "scopes": list(terms.scopes), "introspects": list(terms.introspects)}
    return {name: value for name, value in said.items() if value}
