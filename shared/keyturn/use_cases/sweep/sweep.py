"""Sweep: write down what time has brought for clients that nobody touches, and publish again what waited too long.

Cost grows with what is due: one read that tells the time and whether the house is to be kept, sixteen queries on the
due time, then one read and one commit for each client due. Running twice at once, or not at all for a week, changes no
answer of any verifier (lifecycle.py, rule 2).

The house is kept once an hour: groups are looked after, and what has expired goes where the store lets nothing go.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from keyturn.domain import lifecycle
from keyturn.domain.encodings import DUE_SHARDS
from keyturn.domain.errors import NotFound
from keyturn.domain.model import Phase
from keyturn.ports.store import LostRace, Query, StoreUnavailable, put, scan
from keyturn.ports.triggers import DISTRIBUTION_TOPIC
from keyturn.records import paths
from keyturn.use_cases.client_repository import ReadPlan
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.ports.bus import Bus
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Document, Snapshot
    from keyturn.use_cases.client_repository import ClientReading, Clients
    from keyturn.use_cases.groups.maintenance import GroupMaintenance
    from keyturn.use_cases.groups.relay_outbox import PublishOutbox
    from keyturn.use_cases.sweep.expiry import DeleteExpired
    from keyturn.use_cases.usage.canaries import CarryOverCanaries
    from keyturn.use_cases.usage.early_retirement import WatchTransitions

_log = logging.getLogger(__name__)

PAGE = 100
HOUSE_KEPT_EVERY = timedelta(hours=1)
LATE_AFTER = timedelta(minutes=10)
"""How long after it was due something is settled late: no verdict is later for it, but people wait (protocol.md §6)."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one sweep did."""

    settled: int
    republished: int
    failed: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """The use case behind `grace_sweeper`."""

    clients: Clients
    bus: Bus
    environment: Environment
    upkeep: GroupMaintenance
    publish_log: PublishOutbox | None = None
    expiry: DeleteExpired | None = None
    """None where documents expire by themselves."""
    carry_over: CarryOverCanaries | None = None
    watch: WatchTransitions | None = None

    def __call__(self) -> SweepResult:
        """Look once at everything that is due."""
        snapshot = self.clients.store.get([paths.HOUSEKEEPING])
        due = [document for shard in range(DUE_SHARDS) for document in self._due(shard, snapshot.read_time)]
        done = [self._one(document) for document in due]
        self._keep_house(snapshot)
        if self.publish_log is not None:
            self.publish_log()
        return SweepResult(done.count("settled"), done.count("republished"), done.count("failed"))

    def _due(self, shard: int, now: datetime) -> Iterator[Document]:
        query = Query(paths.CLIENTS, order_by="next_due_at", equal=(("due_shard", shard),), at_most=now, limit=PAGE)
        return scan(self.clients.store, query)

    def _one(self, document: Document) -> str:
        found = [document]  # what the query gave is the first look; after a lost race, look anew
        try:
            return until_won(lambda: self._settle(document.path, found.pop() if found else None), self.environment)
        except StoreUnavailable:
            raise  # nothing can be settled now
        except Exception as error:  # noqa: BLE001 - one client that cannot be settled holds up no other
            # Not the error's text: it may carry what must not be in a log.
            _log.error("a client could not be settled: %s", type(error).__name__)
            return "failed"

    def _settle(self, path: str, found: Document | None) -> str:
        client_id = path.rpartition("/")[2]
        try:
            reading = self.clients.read(client_id, ReadPlan(document=found))
        except NotFound:
            return "gone"
        decision = lifecycle.settle(reading.state, reading.policy, reading.now)
        if decision.transitions:
            self.clients.commit(reading, decision)
            _tell_if_late(reading)
            return "settled"
        if self.carry_over is not None and self.carry_over(reading):
            return "settled"
        rotation = reading.state.rotation
        if rotation is None or rotation.phase is not Phase.REQUESTED:
            return "early"
        self.bus.publish(DISTRIBUTION_TOPIC, {"client_id": client_id, "rotation_id": rotation.rotation_id})
        return "republished"

    def _keep_house(self, snapshot: Snapshot) -> None:
        document, now = snapshot[paths.HOUSEKEEPING], snapshot.read_time
        if document.data is not None and cast("datetime", document.data["due_at"]) > now:
            return
        if self.expiry is not None:
            self.expiry(now)
        self.upkeep(now)
        if self.watch is not None:
            self.watch(now)
        try:  # last: a sweep that died before this keeps the house the next time
            self.clients.store.commit([put(document, {"due_at": now + HOUSE_KEPT_EVERY})])
        except LostRace:
            return  # another sweep kept it


def _tell_if_late(reading: ClientReading) -> None:
    due = lifecycle.due(reading.state, reading.policy)
    if due is not None and reading.now - due.at > LATE_AFTER:
        _log.error("a client was settled late: %d seconds", (reading.now - due.at).total_seconds())
