"""Repeats calls of functions until they succeed, as Eventarc does in the cloud.

1. A call keeps its headers and body, so every redelivery carries the same event id.
2. After a failure a call waits, longer each time, as in the outbox. After the last attempt it is dropped and logged.
3. Calls are in memory only. If this process dies, the sweeper publishes the events again (use_cases/sweep).
"""

from __future__ import annotations

import heapq
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from logging import getLogger
from random import SystemRandom
from threading import Condition
from typing import TYPE_CHECKING

from keyturn.adapters.sqlite.outbox import DeliveryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

    from keyturn.local.function_client import FunctionClient

_LOG = getLogger(__name__)
_RANDOM = SystemRandom()
_WAIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function, and the number of attempts so far."""

    function: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    attempts: int = 0


class Redelivery:
    """A queue of calls by due time. Any thread may `add` a call, which is due at once."""

    def __init__(self, *, policy: DeliveryPolicy | None = None, workers: int = 4) -> None:
        self._policy = policy or DeliveryPolicy()
        self._workers = workers
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Call]] = []  # due time (monotonic), sequence number, call
        self._queue_changed = Condition()

    def add(self, call: Call) -> None:
        """Deliver a call as soon as a worker is free."""
        self._put(call, 0.0)

    def run(self, functions: FunctionClient, stop: Event) -> None:
        """Deliver until `stop` is set, then finish the calls in progress."""
        with closing(functions), ThreadPoolExecutor(self._workers, thread_name_prefix="redelivery") as pool:
            while not stop.is_set():
                call = self._next()
                if call is not None:
                    pool.submit(self._deliver, functions, call)

    def _put(self, call: Call, delay_seconds: float) -> None:
        with self._queue_changed:
            heapq.heappush(self._queue, (time.monotonic() + delay_seconds, next(self._order), call))
            self._queue_changed.notify()

    def _next(self) -> Call | None:
        """Return the next due call. None if none becomes due within a short wait."""
        with self._queue_changed:
            seconds = self._queue[0][0] - time.monotonic() if self._queue else _WAIT_SECONDS
            if seconds > 0:
                self._queue_changed.wait(min(seconds, _WAIT_SECONDS))
                return None
            return heapq.heappop(self._queue)[2]

    def _deliver(self, functions: FunctionClient, call: Call) -> None:
        problem = functions.call(call.function, call.headers, call.body)
        if problem is None:
            return
        retry = replace(call, attempts=call.attempts + 1)
        if retry.attempts < self._policy.attempts:
            self._put(retry, self._policy.delay(retry.attempts, _RANDOM.random()).total_seconds())
        else:
            _LOG.error("dropped an event for %s after %d attempts: %s", call.function, retry.attempts, problem)
