"""Sweep: write due transitions of clients that no command touches, and publish waiting rotations again.

Rules (docs/protocol.md §4):

1. A sweep changes no verifier's answer. Verifiers apply due transitions to what they read (`lifecycle.settle`), so two
   sweeps at the same time do no harm, and neither does a week without any.
2. The cost depends on the number of due clients: one read of the time and of the maintenance document, one query for
   each shard, then one read and one commit for each due client.
3. Maintenance runs once an hour: groups are maintained, and a store without a TTL policy deletes expired documents.
4. A client that cannot be settled delays no other client. It is logged as an error, which raises an alert.
5. All due clients are settled before anything is published. The first failure ends the publishing, and so does the end
   of PUBLISH_SECONDS. So a bus that does not answer costs one attempt, and a slow one delays no later sweep, however
   many rotations wait. The next sweeps publish the rest.
6. While the store's clock is not confirmed, nothing is swept: a wrong time would end grace windows for good.
7. A part of the maintenance that fails delays no other part. It is logged, and runs again an hour later.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.encodings import DUE_SHARDS
from keyturn.domain.errors import NotFound
from keyturn.domain.model import Phase
from keyturn.domain.recognition import may_grant
from keyturn.ports.effects import uniform
from keyturn.ports.store import LostRace, Query, StoreUnavailable, scan, update
from keyturn.ports.triggers import DISTRIBUTION_TOPIC
from keyturn.records import paths
from keyturn.use_cases.client_repository import CLIENT_ONLY
from keyturn.use_cases.optimistic import until_won, write_if_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.domain.model import Rotation
    from keyturn.ports.bus import Bus
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Document, Snapshot
    from keyturn.use_cases.client_repository import ClientReading, Clients
    from keyturn.use_cases.groups.maintenance import GroupMaintenance
    from keyturn.use_cases.groups.relay_outbox import PublishOutbox
    from keyturn.use_cases.sweep.ending_clients import WarnOfEndingClients
    from keyturn.use_cases.sweep.expiry import DeleteExpired
    from keyturn.use_cases.usage.canaries import CarryOverCanaries
    from keyturn.use_cases.usage.early_retirement import WatchTransitions

_log = logging.getLogger(__name__)

PAGE = 100
MAINTENANCE_EVERY = timedelta(hours=1)
PUBLISH_SECONDS = 20.0
"""How long one sweep publishes. The bus itself bounds the last call (adapters/pubsub_bus.py)."""
LATE_AFTER = timedelta(minutes=10)
"""A client that is settled so long after it was due is logged. Verifiers answer in time, but people see old states."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """How many clients one sweep settled, published again, or failed to settle or publish."""

    settled: int
    republished: int
    failed: int


@dataclass(slots=True)
class _Settlement:
    """The state of settling one client, over all attempts."""

    client_id: str
    is_settled: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    """The use case behind `grace_sweeper`."""

    clients: Clients
    bus: Bus
    environment: Environment
    group_maintenance: GroupMaintenance
    publish_outbox: PublishOutbox | None = None
    delete_expired: DeleteExpired | None = None
    """None where the store deletes expired documents by itself."""
    carry_over: CarryOverCanaries | None = None
    watch_transitions: WatchTransitions | None = None
    warn_of_ends: WarnOfEndingClients | None = None

    def __call__(self) -> SweepResult:
        """Sweep once. Raise `StoreUnavailable` if the store cannot be reached."""
        snapshot = self.clients.store.get([paths.HOUSEKEEPING])
        if not snapshot.is_time_certain:
            _log.warning("the host's clock is not confirmed yet: this sweep does nothing")
            return SweepResult(0, 0, 0)
        due = [document for shard in range(DUE_SHARDS) for document in self._due(shard, snapshot.read_time)]
        waiting: list[Rotation] = []
        results = [self._settle_client(document, waiting) for document in due]
        republished = self._publish(waiting)
        self._maintain(snapshot)
        if self.publish_outbox is not None:
            self.publish_outbox()
        failed = results.count("failed") + len(waiting) - republished
        return SweepResult(results.count("settled"), republished, failed)

    def _due(self, shard: int, now: datetime) -> Iterator[Document]:
        query = Query(paths.CLIENTS, order_by="next_due_at", equal=(("due_shard", shard),), at_most=now, limit=PAGE)
        return scan(self.clients.store, query)

    def _settle_client(self, document: Document, waiting: list[Rotation]) -> str:
        settlement = _Settlement(document.id)
        try:
            return until_won(lambda: self._settle(settlement, waiting), self.environment)
        except StoreUnavailable:
            raise  # no client can be settled now
        except Exception as error:  # noqa: BLE001 - rule 4
            _log_unsettled(document.id, error)
            return "failed"

    def _settle(self, settlement: _Settlement, waiting: list[Rotation]) -> str:
        try:
            # What time brings rests on no membership: a damaged roster delays nothing.
            reading = self.clients.read(settlement.client_id, CLIENT_ONLY)
        except NotFound:
            return "gone"
        try:
            settlement.is_settled |= self._write_due(reading)
        except LostRace:
            settlement.is_settled = True  # if nothing is due any more, this commit was applied, or a concurrent one
            raise
        rotation = reading.state.rotation
        if not settlement.is_settled and rotation is not None and not may_grant(reading.state):
            _log.error("a client could not be settled: %s, it is damaged or of a newer release", settlement.client_id)
            return "failed"
        if settlement.is_settled or rotation is None or rotation.phase is not Phase.REQUESTED:
            return "settled" if settlement.is_settled else "early"
        waiting.append(rotation)
        return "waiting"

    def _write_due(self, reading: ClientReading) -> bool:
        """Write what is due for a client. Return whether anything was."""
        decision = lifecycle.settle(reading.state, reading.policy, reading.now)
        if decision.transitions:
            self.clients.commit(reading, decision)
            _log_if_late(reading)
            return True
        return self.carry_over is not None and self.carry_over(reading)

    def _publish(self, waiting: Sequence[Rotation]) -> int:
        """Publish rotations again whose event was lost or has failed. Return how many the bus has confirmed."""
        end = self.environment.monotonic() + PUBLISH_SECONDS
        # From a random one on: else the first ones could use up the time of each sweep.
        first = int(uniform(self.environment.random, len(waiting)))
        for count, rotation in enumerate([*waiting[first:], *waiting[:first]]):
            if self.environment.monotonic() >= end:
                _log.warning("the bus is slow: %d rotations wait for the next sweep", len(waiting) - count)
                return count
            message = {"client_id": rotation.client_id, "rotation_id": rotation.rotation_id}
            try:
                self.bus.publish(DISTRIBUTION_TOPIC, message)  # publishing it twice does no harm
            except Exception as error:  # noqa: BLE001 - rule 5
                _log_unsettled(rotation.client_id, error)
                return count
        return len(waiting)

    def _maintain(self, snapshot: Snapshot) -> None:
        document, now = snapshot[paths.HOUSEKEEPING], snapshot.read_time
        due_at = (document.data or {}).get("due_at")
        # A damaged document counts as due, and so does a time further ahead than one interval: the clock was set back.
        if isinstance(due_at, datetime) and now < due_at <= now + MAINTENANCE_EVERY:
            return
        for name, act in self._maintenance():
            try:
                act(now)
            except StoreUnavailable:
                raise  # nothing can be maintained now
            except Exception as error:  # noqa: BLE001 - rule 7
                _log.error("%s failed: %s", name, type(error).__name__)
        # Last: if this sweep dies before, the next one does the maintenance.
        write_if_unchanged(self.clients.store, update(document, {"due_at": now + MAINTENANCE_EVERY}), self.environment)

    def _maintenance(self) -> Iterator[tuple[str, Callable[[datetime], object]]]:
        if self.delete_expired is not None:
            yield "deleting expired documents", self.delete_expired
        yield "the maintenance of groups", self.group_maintenance
        if self.watch_transitions is not None:
            yield "watching transitions", self.watch_transitions
        if self.warn_of_ends is not None:
            yield "warning of ending clients", self.warn_of_ends


def _log_unsettled(client_id: str, error: Exception) -> None:
    # Of the error only its class: its text may contain a stored value. The words are an alert's filter.
    _log.error("a client could not be settled: %s, %s", client_id, type(error).__name__)


def _log_if_late(reading: ClientReading) -> None:
    due = lifecycle.due(reading.state, reading.policy)
    if due is not None and reading.now - due.at > LATE_AFTER:
        _log.error("a client was settled late: %d seconds", (reading.now - due.at).total_seconds())
