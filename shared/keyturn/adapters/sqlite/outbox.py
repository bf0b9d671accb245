"""The outbox of an embedded store: what woke which door and isn't delivered yet, and what never could be.

1. A row has one event id for its whole life: every redelivery carries it.
2. A claim is a lease. Who dies with one loses it when it runs out, or when the next one attends and finds nobody else
   alive (attendance.py), and the row is delivered again: at least once.
3. What fails waits longer each time (exponential, capped, jittered); after the last attempt it is a dead letter, which
   stays until somebody replays it.
4. A claim's attempt number fences it: a failure that is reported after the lease ran out changes nothing.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import SystemRandom
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import from_micros, micros, utc_now
from keyturn.adapters.sqlite.delivery_lock import hold_delivery_lock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.adapters.sqlite.file import SqliteFile

_RANDOM = SystemRandom()
_COLUMNS = "event_id, door, kind, subject, attributes, published_at, attempts, reason"
_DUE = f"SELECT {_COLUMNS} FROM outbox WHERE due_at <= ? ORDER BY due_at LIMIT ?"  # noqa: S608 - a constant of ours
_DEAD = f"SELECT {_COLUMNS} FROM outbox WHERE due_at IS NULL ORDER BY seq LIMIT ?"  # noqa: S608 - a constant of ours
_BURY = "UPDATE outbox SET due_at = NULL, leased = 0, reason = ? WHERE event_id = ? AND attempts = ?"
_LEASE = "UPDATE outbox SET due_at = ?, leased = 1, attempts = attempts + 1 WHERE event_id = ?"
_DELAY = "UPDATE outbox SET due_at = ?, leased = 0, reason = ? WHERE event_id = ? AND attempts = ? AND leased = 1"
_ORPHANED = "UPDATE outbox SET due_at = ?, leased = 0, attempts = max(attempts - 1, 0) WHERE leased = 1"
_REVIVE = (
    "UPDATE outbox SET due_at = ?, leased = 0, attempts = 0 WHERE due_at IS NULL AND event_id = ifnull(?, event_id)"
)
_DEPTH = """SELECT count(*) FILTER (WHERE due_at IS NOT NULL AND NOT leased), count(*) FILTER (WHERE leased),
    count(*) FILTER (WHERE due_at IS NULL), min(published_at) FILTER (WHERE due_at IS NOT NULL) FROM outbox"""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How long a delivery may take and how often it is tried; jitter takes up to half of a delay away."""

    lease_seconds: float = 60.0
    first_delay_seconds: float = 0.2
    longest_delay_seconds: float = 60.0
    attempts: int = 12

    def delay(self, attempts: int, jitter: float) -> timedelta:
        """Return the wait after so many attempts; `jitter` is drawn evenly from 0 to 1."""
        seconds = min(self.first_delay_seconds * 2 ** (attempts - 1), self.longest_delay_seconds)
        return timedelta(seconds=seconds * (1 - jitter / 2))


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One row: `kind` is "document" (then `subject` is its path) or "topic" (then its name); identifiers only."""

    event_id: str
    door: str
    kind: str
    subject: str
    attributes: Mapping[str, str] = field(repr=False)
    published_at: datetime
    attempts: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """Rows by state, and when the oldest row that still waits or is being delivered was written."""

    waiting: int
    leased: int
    dead: int
    oldest: datetime | None


class Outbox:
    """The delivering side of the outbox in `file`; several processes may deliver from one file."""

    def __init__(
        self,
        file: SqliteFile,
        *,
        policy: DeliveryPolicy | None = None,
        clock: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.file = file
        self.policy = policy or DeliveryPolicy()
        self.clock = clock
        self._jitter = jitter

    @contextmanager
    def hold_delivery_lock(self) -> Iterator[None]:
        """Say that this process delivers while the context lasts; if no other does, leases of the dead end at once.

        Their attempts don't count: a process that was killed says nothing about the rows that it held.
        `StoreUnavailable` if that can't be said.
        """
        with hold_delivery_lock(self.file.path.with_name(f"{self.file.path.name}.delivery"), self._release_orphans):
            yield

    def _release_orphans(self) -> None:
        with self.file.writing(durable=False) as connection:
            connection.execute(_ORPHANED, (micros(self.clock()),))

    def claim(self, limit: int) -> Sequence[OutboxEvent]:
        """Lease up to `limit` due rows, longest due first; rows that nobody survived become dead letters instead."""
        now = micros(self.clock())
        with self.file.reading() as connection:
            if connection.execute(_DUE, (now, 1)).fetchone() is None:
                return ()
        with self.file.writing(durable=False) as connection:
            events = [_event(row) for row in connection.execute(_DUE, (now, limit)).fetchall()]
            return tuple(leased for event in events if (leased := self._lease(connection, event)) is not None)

    def mark_delivered(self, event: OutboxEvent) -> None:
        """Forget a delivered row, whoever holds its lease by now."""
        with self.file.writing(durable=False) as connection:
            connection.execute("DELETE FROM outbox WHERE event_id = ?", (event.event_id,))

    def mark_failed(self, event: OutboxEvent, reason: str) -> None:
        """Put a claimed row back for later, or among the dead letters after its last attempt."""
        due = self.clock() + self.policy.delay(event.attempts, self._jitter())
        last = event.attempts >= self.policy.attempts
        with self.file.writing(durable=False) as connection:
            if last:
                connection.execute(_BURY, (reason, event.event_id, event.attempts))
            else:
                connection.execute(_DELAY, (micros(due), reason, event.event_id, event.attempts))

    def next_due(self) -> datetime | None:
        """Return when the next row is due or its lease runs out; None when nothing waits."""
        with self.file.reading() as connection:
            (due,) = connection.execute("SELECT min(due_at) FROM outbox WHERE due_at IS NOT NULL").fetchone()
        return None if due is None else from_micros(due)

    def dead_letters(self, limit: int = 100) -> Sequence[OutboxEvent]:
        """Return what was given up, oldest first."""
        with self.file.reading() as connection:
            return tuple(_event(row) for row in connection.execute(_DEAD, (limit,)).fetchall())

    def replay(self, event_id: str | None = None) -> int:
        """Make one dead letter, or all, due again with all attempts; return how many there were."""
        with self.file.writing() as connection:
            revived = connection.execute(_REVIVE, (micros(self.clock()), event_id)).rowcount
        self.file.wake.set()
        return revived

    def depth(self) -> Depth:
        """Return how many rows wait, are being delivered (or were, by somebody who died), and are dead."""
        with self.file.reading() as connection:
            waiting, leased, dead, oldest = connection.execute(_DEPTH).fetchone()
        return Depth(waiting, leased, dead, None if oldest is None else from_micros(oldest))

    def _lease(self, connection: sqlite3.Connection, event: OutboxEvent) -> OutboxEvent | None:
        if event.attempts >= self.policy.attempts:
            connection.execute(_BURY, ("lease ran out", event.event_id, event.attempts))
            return None
        until = self.clock() + timedelta(seconds=self.policy.lease_seconds)
        connection.execute(_LEASE, (micros(until), event.event_id))
        return replace(event, attempts=event.attempts + 1)


def _event(row: tuple[str, str, str, str, str, int, int, str | None]) -> OutboxEvent:
    event_id, door, kind, subject, attributes, published_at, attempts, reason = row
    return OutboxEvent(
        event_id, door, kind, subject, json.loads(attributes), from_micros(published_at), attempts, reason
    )
