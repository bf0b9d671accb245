"""Change a client's settings: its policy, and the terms of its access tokens. Each change is audited in its commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Conflict
from keyturn.domain.lifecycle import Decision, audited_facts
from keyturn.domain.model import ClientStatus
from keyturn.domain.policy import require_client_setting
from keyturn.use_cases.client_repository import CLIENT_ONLY
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.domain.token_terms import TokenTerms
    from keyturn.ports.effects import Environment
    from keyturn.use_cases.client_repository import ClientReading, Clients

    TermsChange = Callable[[TokenTerms], TokenTerms]


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """The use case behind `operator`'s `/clients/{client_id}/policy`.

    Whatever time brought before the change was decided under the old policy. The new policy holds from then on, also
    for a rotation that is in progress.
    """

    clients: Clients
    environment: Environment

    def __call__(self, client_id: str, changes: Mapping[str, int | bool | None]) -> None:
        """Set the given values; None stands for the deployment's default. Nothing is written if nothing changes.

        `NotFound` without such a client, `Conflict` for a revoked one, `PolicyViolation` for a value out of bounds.
        """
        until_won(lambda: self._set(self.clients.read(identifier(client_id), CLIENT_ONLY), changes), self.environment)

    def _set(self, reading: ClientReading, changes: Mapping[str, int | bool | None]) -> None:
        present = settled(reading)
        client = present.state.client
        # Only what is written now is validated: a newer release may have stored the rest, which null removes as well.
        for name in changes.keys() - client.policy.keys():
            require_client_setting(name)
        self.clients.policy.overridden({name: value for name, value in changes.items() if value is not None})
        merged = {**client.policy, **changes}
        overrides = {name: value for name, value in merged.items() if value is not None}
        policy = self.clients.policy.for_client(overrides)
        if overrides == client.policy:
            return
        facts = audited_facts(present.state)
        reason = ", ".join(f"{name}={overrides.get(name, 'default')}" for name in sorted(changes))
        transition = Transition("set_policy", OPERATOR, {"client_id": client.client_id}, facts, facts, reason)
        # A shorter deadline can make something due at once.
        after = lifecycle.settle(present.state.with_client(policy=overrides), policy, reading.now)
        decision = Decision(after.state, (*present.transitions, transition, *after.transitions))
        self.clients.commit(replace(reading, policy=policy), decision)


@dataclass(frozen=True, slots=True)
class SetTokenTerms:
    """The use case behind `operator`'s `/clients/{client_id}/tokens`.

    The change raises the client's revision, so verifiers that cache verdicts apply it within the staleness bound.
    """

    clients: Clients
    environment: Environment

    def __call__(self, client_id: str, change: TermsChange) -> None:
        """Apply `change` to a client's terms; nothing is written if nothing changes.

        `NotFound` without such a client, `Conflict` for a revoked one, `InvalidRequest` for invalid terms.
        """
        until_won(lambda: self._set(self.clients.read(identifier(client_id), CLIENT_ONLY), change), self.environment)

    def _set(self, reading: ClientReading, change: TermsChange) -> None:
        present = settled(reading)
        client = present.state.client
        terms = change(client.tokens).checked()
        if terms == client.tokens:
            return
        # An entry's facts are the client's state (docs/protocol.md §9), which terms are no part of. So the reason
        # says what changed, as it does for a policy.
        facts = audited_facts(present.state)
        transition = Transition(
            "set_token_terms", OPERATOR, {"client_id": client.client_id}, facts, facts, _changes(client.tokens, terms)
        )
        state = present.state.with_client(tokens=terms)
        self.clients.commit(reading, Decision(state, (*present.transitions, transition)))


def settled(reading: ClientReading) -> Decision:
    """Return the client as of now. Raises `Conflict` for a revoked one."""
    present = lifecycle.settle(reading.state, reading.policy, reading.now)
    if present.state.client.status is ClientStatus.REVOKED:
        raise Conflict("client_revoked", "The client is revoked.")
    return present


def _changes(before: TokenTerms, after: TokenTerms) -> str:
    """Return the changed terms in words, each with its new value and the one before."""
    values = {
        "audience": (before.audience, after.audience),
        "scopes": (" ".join(before.scopes), " ".join(after.scopes)),
        "algorithm": (before.algorithm, after.algorithm),
        "introspects": (" ".join(before.introspects), " ".join(after.introspects)),
    }
    return ", ".join(
        f"{name}={new or 'default'} (before: {old or 'default'})" for name, (old, new) in values.items() if new != old
    )
