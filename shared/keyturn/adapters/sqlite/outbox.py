"""The outbox of an embedded store: events that are not delivered yet, and dead letters.

1. A row keeps one event id for its whole life. Every redelivery carries it.
2. A claim is a lease. If a process dies with a lease, the row is delivered again (at least once): when the lease
   expires, or earlier, when another process starts to deliver and finds itself alone (delivery_lock.py).
3. After a failure the row waits, longer each time (exponential, capped, jittered). After the last attempt it is a dead
   letter, which stays until it is replayed.
4. A row that is due later than any lease or delay lasts is due now: the host's clock was set back.
5. The attempt number fences a claim: a failure reported after the lease expired changes nothing.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import SystemRandom
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import from_micros, micros
from keyturn.adapters.sqlite.delivery_lock import hold_delivery_lock
from keyturn.adapters.sqlite.host_clock import HOST

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.adapters.sqlite.file import SqliteFile

_RANDOM = SystemRandom()
_COLUMNS = "event_id, door, kind, subject, attributes, published_at, attempts, reason"
_DUE = f"SELECT {_COLUMNS} FROM outbox WHERE due_at <= ? OR due_at > ? ORDER BY due_at LIMIT ?"  # noqa: S608 - a constant
_DEAD = f"SELECT {_COLUMNS} FROM outbox WHERE due_at IS NULL ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
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
    """How long a delivery may take and how often it is attempted. Jitter shortens a delay by up to a half."""

    # The lease must be longer than one call may take (Delivery's timeout, 30 s), or a row would be delivered twice.
    lease_seconds: float = 60.0
    first_delay_seconds: float = 0.2
    longest_delay_seconds: float = 60.0
    attempts: int = 12

    @property
    def longest_wait(self) -> timedelta:
        """The longest time for which a row is leased or delayed."""
        return timedelta(seconds=max(self.lease_seconds, self.longest_delay_seconds))

    def delay(self, attempts: int, jitter: float) -> timedelta:
        """Return the wait after that many attempts. `jitter` is a uniform random number from 0 to 1."""
        seconds = min(self.first_delay_seconds * 2 ** (attempts - 1), self.longest_delay_seconds)
        return timedelta(seconds=seconds * (1 - jitter / 2))


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One row. It holds identifiers only, never a secret.

    `kind` is "document" (then `subject` is the document's path) or "topic" (then it is the topic's name).
    """

    event_id: str
    function: str
    kind: str
    subject: str
    attributes: Mapping[str, str] = field(repr=False)
    published_at: datetime
    attempts: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """Number of rows by state, and when the oldest undelivered row was written. Dead letters don't count for that."""

    waiting: int
    leased: int
    dead: int
    oldest: datetime | None


class Outbox:
    """The consumer's side of the outbox in `file`. Several processes may deliver from one file."""

    def __init__(
        self,
        file: SqliteFile,
        *,
        policy: DeliveryPolicy | None = None,
        clock: Callable[[], datetime] = HOST.now,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.file = file
        self.policy = policy or DeliveryPolicy()
        self.clock = clock
        self._jitter = jitter

    @contextmanager
    def hold_delivery_lock(self) -> Iterator[None]:
        """Hold the delivery lock while the context lasts. If no other process delivers, release all leases first.

        The released attempts don't count: a killed process is no evidence against the rows that it had leased.
        `StoreUnavailable` if the lock file can't be opened.
        """
        with hold_delivery_lock(self.file.path.with_name(f"{self.file.path.name}.delivery"), self._release_orphans):
            yield

    def _release_orphans(self) -> None:
        with self.file.writing(durable=False) as connection:
            connection.execute(_ORPHANED, (micros(self.clock()),))

    def claim(self, limit: int) -> Sequence[OutboxEvent]:
        """Lease up to `limit` due rows, the longest due first.

        A row becomes a dead letter instead if the lease of its last attempt expired.
        """
        due = tuple(map(micros, self._due_bounds()))
        # Read first: most calls find nothing, and a write transaction would block other writers.
        with self.file.reading() as connection:
            if connection.execute(_DUE, (*due, 1)).fetchone() is None:
                return ()
        with self.file.writing(durable=False) as connection:
            events = [_event(row) for row in connection.execute(_DUE, (*due, limit)).fetchall()]
            return tuple(leased for event in events if (leased := self._lease(connection, event)) is not None)

    def mark_delivered(self, event: OutboxEvent) -> None:
        """Delete a delivered row, even if another process has leased it by now."""
        with self.file.writing(durable=False) as connection:
            connection.execute("DELETE FROM outbox WHERE event_id = ?", (event.event_id,))

    def mark_failed(self, event: OutboxEvent, reason: str) -> None:
        """Schedule a claimed row for its next attempt, or make it a dead letter after the last one."""
        due = self.clock() + self.policy.delay(event.attempts, self._jitter())
        was_last = event.attempts >= self.policy.attempts
        with self.file.writing(durable=False) as connection:
            if was_last:
                connection.execute(_BURY, (reason, event.event_id, event.attempts))
            else:
                connection.execute(_DELAY, (micros(due), reason, event.event_id, event.attempts))

    def next_due(self) -> datetime | None:
        """Return when the next row is due or its lease expires. None if the outbox is empty."""
        with self.file.reading() as connection:
            (due,) = connection.execute("SELECT min(due_at) FROM outbox WHERE due_at IS NOT NULL").fetchone()
        return None if due is None else from_micros(due)

    def is_due(self, due: datetime) -> bool:
        """Return whether a row that is due at that time can be claimed now."""
        now, too_far = self._due_bounds()
        return due <= now or due > too_far

    def _due_bounds(self) -> tuple[datetime, datetime]:
        """Return now, and the time from which on a row counts as due (rule 4)."""
        now = self.clock()
        return now, now + 2 * self.policy.longest_wait

    def dead_letters(self, limit: int = 100) -> Sequence[OutboxEvent]:
        """Return up to `limit` dead letters, oldest first."""
        with self.file.reading() as connection:
            return tuple(_event(row) for row in connection.execute(_DEAD, (limit,)).fetchall())

    def replay(self, event_id: str | None = None) -> int:
        """Make one dead letter (or all, if None) due again, with a full set of attempts. Return their number."""
        with self.file.writing() as connection:
            count = connection.execute(_REVIVE, (micros(self.clock()), event_id)).rowcount
        self.file.wake.set()
        return count

    def depth(self) -> Depth:
        """Return the number of rows that wait, that are leased (perhaps by a dead process), and that are dead."""
        with self.file.reading() as connection:
            waiting, leased, dead, oldest = connection.execute(_DEPTH).fetchone()
        return Depth(waiting, leased, dead, None if oldest is None else from_micros(oldest))

    def _lease(self, connection: sqlite3.Connection, event: OutboxEvent) -> OutboxEvent | None:
        if event.attempts >= self.policy.attempts:
            connection.execute(_BURY, ("lease expired", event.event_id, event.attempts))
            return None
        until = self.clock() + timedelta(seconds=self.policy.lease_seconds)
        connection.execute(_LEASE, (micros(until), event.event_id))
        return replace(event, attempts=event.attempts + 1)


def _event(row: tuple[str, str, str, str, str, int, int, str | None]) -> OutboxEvent:
    event_id, function, kind, subject, attributes, published_at, attempts, reason = row
    return OutboxEvent(
        event_id, function, kind, subject, json.loads(attributes), from_micros(published_at), attempts, reason
    )
