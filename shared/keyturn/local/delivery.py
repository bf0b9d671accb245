"""Delivery: rows of the outbox to the doors, over HTTP, at least once, by a few workers.

1. 2xx is done. Any other answer, and none, is a failure: the outbox says when it is tried again or given up.
2. A row that this process wrote wakes the loop at once; one of another process is noticed by SQLite's data version,
   looked at every few milliseconds, without reading a page.
3. Only as many rows are claimed as workers are free, so that no lease runs while its row waits.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from logging import getLogger
from threading import Event, Semaphore
from typing import TYPE_CHECKING

from keyturn.local.cloud_events import request_of
from keyturn.local.function_client import FunctionClient
from keyturn.ports.store import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from keyturn.adapters.sqlite.outbox import Outbox, OutboxEvent

POLL_SECONDS = 0.015
STORE_PAUSE_SECONDS = 1.0
_LOG = getLogger(__name__)


class Delivery:
    """Deliver what is in `outbox` to `base_url`/<door>/; `headers` go with every call.

    `timeout_seconds` bounds one call and must be below the outbox's lease, else ValueError.
    """

    def __init__(
        self,
        outbox: Outbox,
        base_url: str,
        *,
        workers: int = 4,
        timeout_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if timeout_seconds >= outbox.policy.lease_seconds:
            raise ValueError("a call ends before its lease does")
        self._outbox = outbox
        self._doors = FunctionClient(base_url, timeout_seconds, headers or {})
        self._workers = workers
        self._free = Semaphore(workers)

    def run(self, stop: Event) -> None:
        """Deliver until `stop` is set, then finish the calls that are under way."""
        while not stop.is_set():
            # Leases are ours until the last call is over, so the pool ends before the attendance does.
            with (
                self._patience(stop),
                self._outbox.hold_delivery_lock(),
                closing(self._doors),
                ThreadPoolExecutor(self._workers, thread_name_prefix="delivery") as pool,
            ):
                self._deliver_until(stop, pool)

    def _deliver_until(self, stop: Event, pool: ThreadPoolExecutor) -> None:
        while not stop.is_set():
            with self._patience(stop):
                self._watch(stop, pool)

    @contextmanager
    def _patience(self, stop: Event) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            _LOG.warning("delivery waits for its store: %s", type(error).__name__)
            stop.wait(STORE_PAUSE_SECONDS)

    def _watch(self, stop: Event, pool: ThreadPoolExecutor) -> None:
        with closing(self._outbox.file.connect()) as connection:
            while not stop.is_set():
                # The order matters: what is written after this look at the version is noticed by the next one.
                self._outbox.file.wake.clear()
                seen = self._outbox.file.data_version(connection)
                self._deliver_due(stop, pool)
                self._wait(stop, connection, seen)

    def _deliver_due(self, stop: Event, pool: ThreadPoolExecutor) -> None:
        while not stop.is_set():
            free = self._take_free(stop)
            try:
                events = self._outbox.claim(free) if free else ()
            except StoreError:
                self._free.release(free)
                raise
            if free > len(events):
                self._free.release(free - len(events))
            for event in events:
                pool.submit(self._deliver, event)
            if not events:
                return

    def _take_free(self, stop: Event) -> int:
        """Wait for a free worker and take all that are free; 0 when it is time to stop."""
        while not self._free.acquire(timeout=POLL_SECONDS):
            if stop.is_set():
                return 0
        taken = 1
        while self._free.acquire(blocking=False):
            taken += 1
        return taken

    def _wait(self, stop: Event, connection: sqlite3.Connection, seen: int) -> None:
        due = self._outbox.next_due()
        while not stop.is_set() and not self._is_due(due):
            if self._outbox.file.wake.wait(POLL_SECONDS) or self._outbox.file.data_version(connection) != seen:
                return

    def _is_due(self, due: datetime | None) -> bool:
        return due is not None and due <= self._outbox.clock()

    def _deliver(self, event: OutboxEvent) -> None:
        try:
            problem = self._doors.call(event.function, *request_of(event))
            if problem is None:
                self._outbox.mark_delivered(event)
            else:
                self._outbox.mark_failed(event, problem)
        except StoreError as error:
            _LOG.warning("delivery of %s is left to its lease: %s", event.event_id, type(error).__name__)
        finally:
            self._free.release()
