"""Calls that are on their way to a door, and come again until it takes them: what Eventarc does in the cloud.

1. A call keeps its headers and body, so every redelivery carries the same event id.
2. What fails waits longer each time, as in the outbox; after the last attempt it is given up, and said so in the log.
3. They are in memory only. What dies with this process, the sweeper publishes again (use_cases/sweep.py).
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
    from threading import Event as Flag

    from keyturn.local.function_client import FunctionClient

_LOG = getLogger(__name__)
_RANDOM = SystemRandom()
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a door, and how often it was tried."""

    function: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    attempts: int = 0


class Redelivery:
    """Calls by when they are due; `take` adds one that is due at once, from any thread."""

    def __init__(self, *, policy: DeliveryPolicy | None = None, workers: int = 4) -> None:
        self._policy = policy or DeliveryPolicy()
        self._workers = workers
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Call]] = []
        self._added = Condition()

    def take(self, call: Call) -> None:
        """Have a call delivered as soon as a worker is free."""
        self._put(call, 0.0)

    def run(self, doors: FunctionClient, stop: Flag) -> None:
        """Deliver until `stop` is set, then finish the calls that are under way."""
        with closing(doors), ThreadPoolExecutor(self._workers, thread_name_prefix="redelivery") as pool:
            while not stop.is_set():
                call = self._next()
                if call is not None:
                    pool.submit(self._deliver, doors, call)

    def _put(self, call: Call, delay_seconds: float) -> None:
        with self._added:
            heapq.heappush(self._waiting, (time.monotonic() + delay_seconds, next(self._order), call))
            self._added.notify()

    def _next(self) -> Call | None:
        """Return the call that is due, waiting a little for one."""
        with self._added:
            due = self._waiting[0][0] - time.monotonic() if self._waiting else _LOOK_SECONDS
            if due > 0:
                self._added.wait(min(due, _LOOK_SECONDS))
                return None
            return heapq.heappop(self._waiting)[2]

    def _deliver(self, doors: FunctionClient, call: Call) -> None:
        problem = doors.call(call.function, call.headers, call.body)
        if problem is None:
            return
        tried = replace(call, attempts=call.attempts + 1)
        if tried.attempts < self._policy.attempts:
            self._put(tried, self._policy.delay(tried.attempts, _RANDOM.random()).total_seconds())
        else:
            _LOG.error("an event for %s was given up after %d attempts: %s", call.function, tried.attempts, problem)
