"""What changed: a process asks for the clients changed since its last complete poll, every half staleness bound.

1. A client's `changed_at` is a time that the store itself took between a commit's coming and its being done. So a poll
   looks back by as much as the store may work on one commit, and by as much as a kept verdict may be younger than its
   read. How long before that the commit was decided or sent, and by what clock, makes no difference.
2. A poll that is not complete proves nothing: freshness lapses, and every check reads for itself.
3. Each poll measures the offset to the store's clock; when that has jumped, nothing that was kept is believed, and a
   poll that can't show it proves nothing.
4. Where the store can tell of changes, what is heard ends what was kept at once (listening.py); the proof is the poll.
5. A change is found through sixteen hashed shards: no sequential value is indexed without a hash in front.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import DUE_SHARDS
from keyturn.domain.model import ClientStatus
from keyturn.ports.store import Query, StoreError, scan
from keyturn.records import paths
from keyturn.records.client_document import CHANGED_AT
from keyturn.verifier.cache import LONGEST_SECONDS, OFFSET_SECONDS, SLOW_READ_SECONDS
from keyturn.verifier.change_stream import Listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from keyturn.ports.feed import Feed
    from keyturn.ports.store import Document, Store
    from keyturn.verifier.cache import VerdictCache

LATE_COMMIT_SECONDS: Final = 30.0
"""How long a store may work on one commit: three times the deadline that comes with it, which the store counts."""
_OVERLAP = timedelta(seconds=LATE_COMMIT_SECONDS + SLOW_READ_SECONDS)
_SHARDS = ("due_shard", range(DUE_SHARDS))
_NEVER = float("-inf")


def in_thread(act: Callable[[], None]) -> None:
    """Run `act` beside the request that noticed that it is time."""
    threading.Thread(target=act, name="keyturn-changes", daemon=True).start()


class Changes:
    """Polls one store for a cache, every `half_bound_seconds`; `jumped` is called when the clocks no longer agree.

    `feed` is where changes can be heard of between polls.
    """

    def __init__(
        self,
        store: Store,
        cache: VerdictCache,
        half_bound_seconds: float,
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None],
        jumped: Callable[[], None],
        feed: Feed | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._half_bound = half_bound_seconds
        self._monotonic = monotonic
        self._background = background
        self._jumped = jumped
        self._one_at_a_time = threading.Lock()
        self._due = _NEVER
        self._offset: tuple[float, datetime] | None = None
        self._complete_to: datetime | None = None
        self._listening = Listening(feed, self._take, monotonic, background) if feed else None

    def look(self) -> None:
        """Start a poll in the background if it is time for one."""
        now = self._monotonic()
        if now >= self._due:
            self._due = now + self._half_bound
            try:
                self._background(self._attempt)
            except RuntimeError:  # no thread is to be had now: freshness lapses by itself, and the next look is due
                return

    def _attempt(self) -> None:
        try:
            self.poll()
        except StoreError:
            return  # freshness lapses by itself: who needs to know reads, and hears of the outage then

    def poll(self) -> None:
        """Pass everything that changed since the last complete poll to the cache; `StoreError` of whatever kind."""
        if not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            began = self._monotonic()
            read_time = self._store.get([]).read_time
            if self._clocks_agree(began, read_time):
                for document in self._since(self._beginning(read_time)):
                    self._take(document)
                self._complete_to = read_time
                self._cache.polled(began)
                if self._listening is not None:
                    self._listening.begin(_changed_since(read_time), _SHARDS)
        finally:
            self._one_at_a_time.release()

    def close(self) -> None:
        """Listen no longer."""
        if self._listening is not None:
            self._listening.end()

    def _clocks_agree(self, began: float, read_time: datetime) -> bool:
        if self._monotonic() - began > OFFSET_SECONDS:
            return False
        before, self._offset = self._offset, (began, read_time)
        if before is not None:
            moved = (read_time - before[1]).total_seconds() - (began - before[0])
            if abs(moved) > OFFSET_SECONDS:
                self._complete_to = None
                self._jumped()
        return True

    def _beginning(self, read_time: datetime) -> datetime:
        # Nothing that is kept rests on a read older than this: a process that slept need not go further back.
        oldest = read_time - timedelta(seconds=LONGEST_SECONDS)
        return max(self._complete_to or oldest, oldest) - _OVERLAP

    def _since(self, time: datetime) -> Iterator[Document]:
        for shard in _SHARDS[1]:
            yield from scan(self._store, replace(_changed_since(time), equal=((_SHARDS[0], shard),)))

    def _take(self, document: Document) -> None:
        data = document.data or {}
        revision = data.get("revision")
        final = data.get("status") == ClientStatus.REVOKED.value
        client_id = document.path.rpartition("/")[2]
        self._cache.changed(client_id, revision if isinstance(revision, int) else None, final=final)


def _changed_since(time: datetime) -> Query:
    """Return the query, of one shard or another, for clients whose change the store stamped at `time` or later."""
    return Query(paths.CLIENTS, order_by=CHANGED_AT, at_least=time)
