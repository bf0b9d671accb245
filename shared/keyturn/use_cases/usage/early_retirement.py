"""Watch over transitions: warn where an old secret is in use near its end, retire it early where policy says so.

Rules:

1. Nothing is retired that is not shown to be silent (domain/usage_silence.py): without a report of every verifier,
   nothing is shown.
2. Only where the client's policy says `retire_early`; elsewhere `keyturn client cutover` proposes it (ADR 0012).
3. The evidence is in another database than the decision: a use between the look and the commit, some milliseconds, is
   not seen. The silence that is asked for is days, so that nobody is expected in them.
4. While everything is stopped, nothing is retired.
5. A client that cannot be judged holds up no other, and keeps its grace window.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keyturn.domain import lifecycle
from keyturn.domain.commands import RetireSilent
from keyturn.domain.encodings import DUE_SHARDS
from keyturn.domain.errors import Refusal
from keyturn.domain.model import ClientStatus
from keyturn.domain.usage_silence import HOUR
from keyturn.ports.store import LostRace, Query, StoreUnavailable, scan
from keyturn.records import paths
from keyturn.records.client_document import live_state
from keyturn.records.salt import salt_writes
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.usage.migration_progress import ReadUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from keyturn.domain.model import ClientState
    from keyturn.domain.usage_silence import Silence, VerifierReport
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Document, Snapshot, Store
    from keyturn.use_cases.client_repository import Clients

_log = logging.getLogger("keyturn")

PAGE: Final = 100
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look rests on; `stopped`: the operator has stopped everything, policy's own acts too."""

    lives: Sequence[VerifierReport]
    now: datetime
    stopped: bool


@dataclass(frozen=True, slots=True)
class WatchTransitions:
    """Looks at each client that has a version in grace; the sweeper calls it once an hour."""

    clients: Clients
    usage: Store
    environment: Environment

    def __call__(self, now: datetime) -> int:
        """Look once; how many versions were retired."""
        snapshot = self.clients.store.get([paths.SALT, paths.STOPPED])
        self._make_salt(snapshot)
        look = _Look(ReadUsage(self.usage).lives(now), now, stopped=snapshot[paths.STOPPED].exists)
        return sum(self._one(document, look) for shard in range(DUE_SHARDS) for document in self._upcoming(shard))

    def _make_salt(self, snapshot: Snapshot) -> None:
        writes = salt_writes(snapshot, self.environment)
        try:
            if writes:
                self.clients.store.commit(writes)
        except LostRace:
            return  # somebody else made it

    def _upcoming(self, shard: int) -> Iterator[Document]:
        """Return the clients to which time will bring something: those with a version in grace are among them."""
        shards = (("due_shard", shard),)
        query = Query(paths.CLIENTS, order_by="next_due_at", equal=shards, at_least=_EVER, limit=PAGE)
        return scan(self.clients.store, query)

    def _one(self, document: Document, look: _Look) -> bool:
        try:
            return self._judged(document, look)
        except StoreUnavailable:
            raise  # nobody can be judged now
        except Refusal:
            return False  # it moved on meanwhile
        except Exception as error:  # noqa: BLE001 - one client that cannot be judged holds up no other
            # No alarm: whoever cannot settle it either, when it is due, raises one.
            _log.info("a transition could not be judged: %s", type(error).__name__)
            return False

    def _judged(self, document: Document, look: _Look) -> bool:
        if document.data is None:
            return False
        state = live_state(document.data)
        client, policy = state.client, self.clients.policy.overridden(state.client.policy)
        state = lifecycle.settle(state, policy, look.now).state
        if state.previous is None or client.status is not ClientStatus.ACTIVE:
            return False
        progress = ReadUsage(self.usage).progress(state, look.lives, look.now)
        if progress.at_risk:
            _log.warning(
                "an old secret is in use near its end: client %s, version %s",
                client.client_id,
                state.previous.version_id,
            )
        if look.stopped or not policy.retire_early or not progress.silence.enough:
            return False
        return self._retired(state, progress.silence)

    def _retired(self, state: ClientState, silence: Silence) -> bool:
        until_won(lambda: self._retire(state, silence), self.environment)
        return True

    def _retire(self, state: ClientState, silence: Silence) -> None:
        reading = self.clients.read(state.client.client_id)
        command = RetireSilent(
            version_id=state.client.previous_version or "",
            silent_for=silence.silent_for,
            needed=silence.needed,
            reason=f"silent for {_hours(silence.silent_for)} h; {_hours(silence.needed)} h were needed",
        )
        self.clients.commit(reading, lifecycle.decide(reading.state, command, reading.policy, reading.now))


def _hours(span: timedelta | None) -> int:
    return span // HOUR if span is not None else 0
