"""Read clients' documents: one read serves all requests for the same client within a second (docs/protocol.md §10).

So no caller can make a verifier read one client more often than once a second, however many wrong secrets they present.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from keyturn.ports.effects import wait
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.ports.effects import Wait
    from keyturn.ports.store import Data, Store

MOST_SHARED = 1024
"""How many reads are remembered at once. Beyond that the oldest is forgotten, and its client is read again."""
WAIT_SECONDS = 15.0
"""How long a request waits for a read that another one carries out: longer than the deadline of any store."""
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Read:
    """One client's document as it was at `read_time` (store clock), between two instants of this process's clock."""

    data: Data | None = field(repr=False)
    read_time: datetime
    began: float
    """Seconds of the process's monotonic clock, as is `ended`."""
    ended: float


class SharedReads:
    """Reads clients from one store. With `share_seconds` 0 every request reads. Any number of threads may use it."""

    def __init__(self, store: Store, monotonic: Callable[[], float], share_seconds: float, wait: Wait = wait) -> None:
        self._store = store
        self._monotonic = monotonic
        self._share_seconds = share_seconds
        self._wait = wait
        self._lock = Lock()
        self._shared: dict[str, tuple[float, Future[Read]]] = {}

    def read(self, client_id: str, *, anew: bool = False) -> Read:
        """Return a read that began after this call or, unless `anew`, at most `share_seconds` before it.

        If the read fails, every request that waited for it gets the store's `StoreUnavailable`.
        """
        if anew or not self._share_seconds:
            return self._read(client_id, self._monotonic())
        future, began = self._join_or_begin(client_id)
        if began is not None:
            self._fulfil(client_id, future, began)
        try:
            self._wait(future, WAIT_SECONDS)
        except TimeoutError:  # the request that reads hangs: the others must not hang with it
            raise StoreUnavailable("the store does not respond") from None
        return future.result()

    def forget(self) -> None:
        """Share no read that was made until now."""
        with self._lock:
            self._shared.clear()

    def _join_or_begin(self, client_id: str) -> tuple[Future[Read], float | None]:
        """Return the read to wait for, and when it began if the caller must carry it out."""
        with self._lock:
            now = self._monotonic()
            began, future = self._shared.get(client_id, (_NEVER, None))
            if future is not None and now - began <= self._share_seconds:
                return future, None
            self._shared.pop(client_id, None)
            if len(self._shared) >= MOST_SHARED:
                del self._shared[next(iter(self._shared))]
            own: Future[Read] = Future()
            self._shared[client_id] = (now, own)
            return own, now

    def _fulfil(self, client_id: str, future: Future[Read], began: float) -> None:
        try:
            future.set_result(self._read(client_id, began))
        except BaseException as error:
            # BaseException, because an interrupted thread must not leave the others waiting for ever. The requests that
            # wait get this error too. The next request reads again.
            with self._lock:
                if self._shared.get(client_id, (0.0, None))[1] is future:
                    del self._shared[client_id]
            future.set_exception(error)
            raise

    def _read(self, client_id: str, began: float) -> Read:
        path = paths.client(client_id)
        snapshot = self._store.get([path])
        return Read(snapshot[path].data, snapshot.read_time, began, self._monotonic())
