"""Delivers rows of the outbox to the functions, over HTTP, at least once, with a few workers.

1. A 2xx response completes a row. Any other response, or none, is a failure, and the outbox decides on a retry.
2. A row written by this process wakes the loop at once. A row of another process is noticed by SQLite's data version,
   which is polled every few milliseconds and needs no page to be read.
3. Only as many rows are claimed as workers are free, so that no lease runs while its row waits for a worker.
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
    """Delivers the rows of `outbox` to `base_url`/<function>/ with `headers`.

    One call may take `timeout_seconds`, which must be less than the outbox's lease. Otherwise ValueError.
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
            raise ValueError("a call's timeout must be shorter than the lease")
        self._outbox = outbox
        self._functions = FunctionClient(base_url, timeout_seconds, headers or {})
        self._workers = workers
        self._free = Semaphore(workers)

    def run(self, stop: Event) -> None:
        """Deliver until `stop` is set, then finish the calls in progress."""
        while not stop.is_set():
            # The order matters: leases are ours until the last call ends, so the pool must end before the lock.
            with (
                self._pause_on_store_errors(stop),
                self._outbox.hold_delivery_lock(),
                closing(self._functions),
                ThreadPoolExecutor(self._workers, thread_name_prefix="delivery") as pool,
            ):
                self._deliver_until(stop, pool)

    def _deliver_until(self, stop: Event, pool: ThreadPoolExecutor) -> None:
        while not stop.is_set():
            with self._pause_on_store_errors(stop):
                self._watch(stop, pool)

    @contextmanager
    def _pause_on_store_errors(self, stop: Event) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            _LOG.warning("delivery pauses, the store is unavailable: %s", type(error).__name__)
            stop.wait(STORE_PAUSE_SECONDS)

    def _watch(self, stop: Event, pool: ThreadPoolExecutor) -> None:
        with closing(self._outbox.file.connect()) as connection:
            while not stop.is_set():
                # The order matters: a row written after this reading of the version changes the next reading.
                self._outbox.file.wake.clear()
                version = self._outbox.file.data_version(connection)
                self._deliver_due(stop, pool)
                self._wait(stop, connection, version)

    def _deliver_due(self, stop: Event, pool: ThreadPoolExecutor) -> None:
        while not stop.is_set():
            free = self._reserve_workers(stop)
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

    def _reserve_workers(self, stop: Event) -> int:
        """Wait for a free worker and reserve all free ones. Return their number, 0 if it is time to stop."""
        while not self._free.acquire(timeout=POLL_SECONDS):
            if stop.is_set():
                return 0
        count = 1
        while self._free.acquire(blocking=False):
            count += 1
        return count

    def _wait(self, stop: Event, connection: sqlite3.Connection, version: int) -> None:
        due = self._outbox.next_due()
        while not stop.is_set() and not self._is_due(due):
            if self._outbox.file.wake.wait(POLL_SECONDS) or self._outbox.file.data_version(connection) != version:
                return

    def _is_due(self, due: datetime | None) -> bool:
        return due is not None and self._outbox.is_due(due)

    def _deliver(self, event: OutboxEvent) -> None:
        try:
            problem = self._functions.call(event.function, *request_of(event))
            if problem is None:
                self._outbox.mark_delivered(event)
            else:
                self._outbox.mark_failed(event, problem)
        except StoreError as error:
            # The row stays leased. When the lease expires it is delivered again.
            _LOG.warning("could not record the delivery of %s: %s", event.event_id, type(error).__name__)
        finally:
            self._free.release()
