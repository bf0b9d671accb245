"""Turns: devices that join one group, or come back to it, in one process go one after the other.

Each of them reads the group, makes MLS messages for some milliseconds, and commits. Without turns, 100 devices that
come back at once lose most of these commits to each other, and repeat the work each time.

1. Turns save work. Nothing relies on them: the commit decides between processes, and between acts that waited too long.
2. Whoever comes first is first. Whoever has waited for WAIT_SECONDS goes on without a turn.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.effects import Wait

WAIT_SECONDS: Final = 5.0


class Turns:
    """The turns of one process, by the name of what they are about. Any number of threads may use them."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._lock = Lock()
        self._queues: dict[str, deque[Future[None]]] = {}

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Wait for a turn, at most WAIT_SECONDS, and give it to the next one at the end."""
        own: Future[None] = Future()
        with self._lock:
            queue = self._queues.setdefault(name, deque())
            queue.append(own)
            is_first = len(queue) == 1
        try:
            if not is_first:
                self._wait_for(own)
            yield
        finally:
            self._leave(name, own)

    def _wait_for(self, own: Future[None]) -> None:
        try:
            self._wait(own, WAIT_SECONDS)
        except TimeoutError:  # rule 2
            return

    def _leave(self, name: str, own: Future[None]) -> None:
        with self._lock:
            queue = self._queues[name]
            had_turn = queue[0] is own
            queue.remove(own)
            if not queue:
                del self._queues[name]
            elif had_turn:
                queue[0].set_result(None)
