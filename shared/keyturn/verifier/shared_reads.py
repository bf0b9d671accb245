"""Reading clients: one read serves everybody who asks for the same client within a second (protocol.md §10).

Nobody can make a verifier read one client more often than that, however many wrong guesses come.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.ports.store import Data, Store

MOST_SHARED = 1024
"""Reads that are remembered at once: past that the oldest is forgotten, and its client read again."""


@dataclass(frozen=True, slots=True)
class Read:
    """One client's document as it was at `read_time` (store clock), between two instants of the process's own clock."""

    data: Data | None = field(repr=False)
    read_time: datetime
    began: float
    """Seconds of the process's monotonic clock, as is `ended`."""
    ended: float


class Reads:
    """Reads of clients from one store; `share_seconds` 0 reads for every request. Any number of threads may ask."""

    def __init__(self, store: Store, monotonic: Callable[[], float], share_seconds: float) -> None:
        self._store = store
        self._monotonic = monotonic
        self._share_seconds = share_seconds
        self._lock = Lock()
        self._shared: dict[str, tuple[float, Future[Read]]] = {}

    def read(self, client_id: str, *, anew: bool = False) -> Read:
        """Return a read of a client, begun after the call or (not `anew`) at most `share_seconds` before.

        `StoreUnavailable` as the store raises it, also to those who waited for another's read.
        """
        if anew or not self._share_seconds:
            return self._read(client_id, self._monotonic())
        future, mine = self._claimed(client_id)
        if mine is not None:
            self._fulfil(client_id, future, mine)
        return future.result()

    def forget(self) -> None:
        """Share nothing that was read until now."""
        with self._lock:
            self._shared.clear()

    def _claimed(self, client_id: str) -> tuple[Future[Read], float | None]:
        with self._lock:
            now = self._monotonic()
            began, future = self._shared.get(client_id, (float("-inf"), None))
            if future is not None and now - began <= self._share_seconds:
                return future, None
            self._shared.pop(client_id, None)
            if len(self._shared) >= MOST_SHARED:
                del self._shared[next(iter(self._shared))]
            mine: Future[Read] = Future()
            self._shared[client_id] = (now, mine)
            return mine, now

    def _fulfil(self, client_id: str, future: Future[Read], began: float) -> None:
        try:
            future.set_result(self._read(client_id, began))
        except BaseException as error:
            # Those who wait hear of it; who comes next asks again.
            with self._lock:
                if self._shared.get(client_id, (0.0, None))[1] is future:
                    del self._shared[client_id]
            future.set_exception(error)
            raise

    def _read(self, client_id: str, began: float) -> Read:
        path = paths.client(client_id)
        snapshot = self._store.get([path])
        return Read(snapshot[path].data, snapshot.read_time, began, self._monotonic())
