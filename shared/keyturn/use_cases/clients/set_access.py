"""Change from where, and until when, a client's credentials are accepted. The change is audited in its commit.

It raises the client's revision, so verifiers that cache verdicts apply it within the staleness bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.client_access import checked_sources
from keyturn.domain.encodings import identifier, to_milliseconds
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.lifecycle import Decision, audited_facts
from keyturn.use_cases.client_repository import CLIENT_ONLY
from keyturn.use_cases.clients.settings import settled
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.domain.model import Client
    from keyturn.ports.effects import Environment
    from keyturn.use_cases.client_repository import ClientReading, Clients


@dataclass(frozen=True, slots=True)
class AccessChange:
    """What to change: `sources` None and `sets_end` False leave the client's own value."""

    sources: Sequence[str] | None = None
    sets_end: bool = False
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SetAccess:
    """The use case behind `operator`'s `/clients/{client_id}/access`."""

    clients: Clients
    environment: Environment

    def __call__(self, client_id: str, change: AccessChange) -> None:
        """Apply a change; nothing is written if nothing changes.

        `NotFound` without such a client, `Conflict` for a revoked one, `InvalidRequest` for a malformed range, or an
        end in the past.
        """
        until_won(lambda: self._set(self.clients.read(identifier(client_id), CLIENT_ONLY), change), self.environment)

    def _set(self, reading: ClientReading, change: AccessChange) -> None:
        present = settled(reading)
        client = present.state.client
        sources = client.sources if change.sources is None else checked_sources(change.sources)
        valid_until = change.valid_until if change.sets_end else client.valid_until
        if (sources, valid_until) == (client.sources, client.valid_until):
            return
        if change.valid_until is not None and change.valid_until <= reading.now:
            # A mistyped date would lock the integrator out at once. `suspend` and `revoke` say so by their names.
            raise InvalidRequest("bad_field", "valid_until must be in the future. To end it now, suspend the client.")
        state = present.state.with_client(sources=sources, valid_until=valid_until)
        facts = audited_facts(present.state)
        ids = {"client_id": client.client_id}
        transition = Transition("set_access", OPERATOR, ids, facts, facts, _described(state.client))
        self.clients.commit(reading, Decision(state, (*present.transitions, transition)))


def _described(client: Client) -> str:
    end = "none" if client.valid_until is None else str(to_milliseconds(client.valid_until))
    return f"valid_until={end}, sources={' '.join(client.sources) or 'any'}"[:512]
