"""Watch transitions: warn if an old secret is in use near its end, and retire it early if the policy says so.

Rules (docs/protocol.md §4, ADR 0012):

1. A version is retired only if its silence is shown (`domain.usage_silence`). Without a report of every verifier
   nothing is shown.
2. The client's policy has to say `retire_early`. Otherwise `keyturn client cutover` proposes it to the admins.
3. The evidence and the decision are in different databases. A use in the milliseconds between reading the evidence and
   the commit is missed. The required silence is days long, so such a use is not to be expected.
4. Nothing is retired while the operator has stopped the suite.
5. A client that cannot be judged delays no other client, and keeps its grace window.
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
from keyturn.ports.store import Query, StoreUnavailable, scan
from keyturn.records import paths
from keyturn.records.client_document import live_state
from keyturn.records.salt import salt_writes
from keyturn.use_cases.optimistic import until_won, write_if_unchanged
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
class _Evidence:
    """The basis of one run: the verifiers' reports, the time, and whether the operator has stopped the suite."""

    reports: Sequence[VerifierReport]
    now: datetime
    stopped: bool


@dataclass(frozen=True, slots=True)
class WatchTransitions:
    """Checks each client that has a version in grace. The sweeper calls it once an hour."""

    clients: Clients
    usage: Store
    environment: Environment

    def __call__(self, now: datetime) -> int:
        """Check each client once. Return how many versions were retired."""
        snapshot = self.clients.store.get([paths.SALT, paths.STOPPED])
        self._create_salt(snapshot)
        evidence = _Evidence(ReadUsage(self.usage).reports(now), now, stopped=snapshot[paths.STOPPED].exists)
        return sum(
            self._check_client(document, evidence) for shard in range(DUE_SHARDS) for document in self._upcoming(shard)
        )

    def _create_salt(self, snapshot: Snapshot) -> None:
        for write in salt_writes(snapshot, self.environment):
            write_if_unchanged(self.clients.store, write, self.environment)

    def _upcoming(self, shard: int) -> Iterator[Document]:
        """Return the clients with a due time. Those with a version in grace are among them."""
        shards = (("due_shard", shard),)
        query = Query(paths.CLIENTS, order_by="next_due_at", equal=shards, at_least=_EVER, limit=PAGE)
        return scan(self.clients.store, query)

    def _check_client(self, document: Document, evidence: _Evidence) -> bool:
        try:
            return self._retire_if_silent(document, evidence)
        except StoreUnavailable:
            raise  # no client can be judged now
        except Refusal:
            return False  # the client has changed in between
        except Exception as error:  # noqa: BLE001 - rule 5
            # No alert: if the client is really damaged, the sweep that has to settle it raises one.
            _log.info("a transition could not be judged: %s", type(error).__name__)
            return False

    def _retire_if_silent(self, document: Document, evidence: _Evidence) -> bool:
        state = live_state(document.fields)
        client, policy = state.client, self.clients.policy.for_client(state.client.policy)
        state = lifecycle.settle(state, policy, evidence.now).state
        if state.previous is None or client.status is not ClientStatus.ACTIVE:
            return False
        progress = ReadUsage(self.usage).progress(state, evidence.reports, evidence.now)
        # The words of this line are the alert's filter (terraform/alerts.tf).
        if progress.at_risk:
            _log.warning(
                "an old secret is in use near its end: client %s, version %s",
                client.client_id,
                state.previous.version_id,
            )
        if evidence.stopped or not policy.retire_early or not progress.silence.enough:
            return False
        until_won(lambda: self._retire(state, progress.silence), self.environment)
        return True

    def _retire(self, state: ClientState, silence: Silence) -> None:
        # The command names the version, so a client that has rotated since refuses it.
        reading = self.clients.read(state.client.client_id)
        command = RetireSilent(
            version_id=state.client.previous_version or "",
            silent_for=silence.silent_for,
            needed=silence.needed,
            reason=f"silent for {_hours(silence.silent_for)} h; {_hours(silence.needed)} h were needed",
        )
        self.clients.commit(reading, reading.decide(command))


def _hours(span: timedelta | None) -> int:
    return span // HOUR if span is not None else 0
