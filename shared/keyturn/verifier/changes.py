"""Find out which clients changed: polls prove that kept verdicts are fresh, a change stream only ends them sooner.

Polls, every half staleness bound:

1. A client's `changed_at` is a time that the store itself takes while it works on the commit. A poll therefore looks
   back by the longest time that the store may work on one commit, plus the longest time by which a kept verdict may be
   younger than its read. When the commit was decided or sent, and by which clock, makes no difference.
2. An incomplete poll proves nothing. Freshness then lapses, and every check reads the store.
3. Each poll measures the offset to the store's clock. If the offset jumped, all kept verdicts are dropped. A poll that
   is too slow to measure it proves nothing.
4. Changes are indexed under sixteen hashed shards, because Firestore limits writes to a sequential index
   (https://firebase.google.com/docs/firestore/best-practices).

The change stream, where the store has one:

5. A document from the stream ends verdicts and never extends them. If it is late, repeated, out of order or missing,
   only speed is lost. A stream that ended is opened again after a later poll.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.domain.model import ClientStatus
from keyturn.ports.store import Query, StoreError
from keyturn.records import paths
from keyturn.records.client_document import CHANGED_AT
from keyturn.verifier.cache import LONGEST_SECONDS, OFFSET_SECONDS, SLOW_READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from keyturn.ports.feed import DocumentStream, Feed
    from keyturn.ports.store import Document, Store
    from keyturn.verifier.cache import VerdictCache

LATE_COMMIT_SECONDS: Final = 30.0
"""How long the store may work on one commit: three times the deadline that the commit carries."""
FIRST_PAUSE_SECONDS: Final = 1.0
"""How long a stream that broke off stays closed, the first time. The pause doubles with each early end."""
LONGEST_PAUSE_SECONDS: Final = 300.0
_OVERLAP = timedelta(seconds=LATE_COMMIT_SECONDS + SLOW_READ_SECONDS)
_SHARDS = ("due_shard", range(16))
_NEVER = float("-inf")


def in_thread(act: Callable[[], None]) -> None:
    """Run `act` in a daemon thread, so that the request which noticed that it is due need not wait."""
    threading.Thread(target=act, name="keyturn-changes", daemon=True).start()


class ChangePoller:
    """Polls one store for a cache every `half_bound_seconds`, and listens to its change stream if there is a `feed`.

    `on_clock_jump` is called when the store's clock and this process's no longer agree. `background` runs a function
    beside the caller. Any number of threads may use it.
    """

    def __init__(
        self,
        store: Store,
        cache: VerdictCache,
        half_bound_seconds: float,
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None],
        on_clock_jump: Callable[[], None],
        feed: Feed | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._half_bound = half_bound_seconds
        self._monotonic = monotonic
        self._background = background
        self._on_clock_jump = on_clock_jump
        self._poll_lock = threading.Lock()
        self._due_at = _NEVER
        self._clock_offset: tuple[float, datetime] | None = None
        self._complete_to: datetime | None = None
        self._listener = _ChangeListener(feed, self._note, monotonic, background) if feed else None

    def poll_if_due(self) -> None:
        """Start a poll in the background if it is time for one."""
        now = self._monotonic()
        if now >= self._due_at:
            self._due_at = now + self._half_bound
            try:
                self._background(self._try_to_poll)
            except RuntimeError:  # no thread can be started: freshness lapses, and the next check tries again
                return

    def poll(self) -> None:
        """Pass everything that changed since the last complete poll to the cache. `StoreError` if that fails."""
        # Another thread is polling, and the next poll is due soon, so nothing waits for this one.
        if not self._poll_lock.acquire(blocking=False):
            return
        try:
            began = self._monotonic()
            # The time is read before the queries: a change that is committed while they run is found by the next poll.
            read_time = self._store.get([]).read_time
            if self._measure_clock(began, read_time):
                for document in self._changed_since(self._poll_start(read_time)):
                    self._note(document)
                self._complete_to = read_time
                self._cache.note_poll(began)
                if self._listener is not None:
                    self._listener.start(_query(read_time))
        finally:
            self._poll_lock.release()

    def close(self) -> None:
        """Stop listening. Polls go on."""
        if self._listener is not None:
            self._listener.close()

    def _try_to_poll(self) -> None:
        try:
            self.poll()
        except StoreError:
            return  # freshness lapses: the next check reads the store, and reports the outage to its caller

    def _measure_clock(self, began: float, read_time: datetime) -> bool:
        """Return whether this poll measured the offset to the store's clock precisely enough."""
        # The store's clock was read at an unknown moment of this interval, so the interval is the measurement's error.
        if self._monotonic() - began > OFFSET_SECONDS:
            return False
        before, self._clock_offset = self._clock_offset, (began, read_time)
        if before is not None:
            drift = (read_time - before[1]).total_seconds() - (began - before[0])
            if abs(drift) > OFFSET_SECONDS:
                self._complete_to = None
                self._on_clock_jump()
        return True

    def _poll_start(self, read_time: datetime) -> datetime:
        # No kept verdict rests on a read older than LONGEST_SECONDS, so a process that slept looks back no further.
        oldest = read_time - timedelta(seconds=LONGEST_SECONDS)
        return max(self._complete_to or oldest, oldest) - _OVERLAP

    def _changed_since(self, time: datetime) -> Iterator[Document]:
        for shard in _SHARDS[1]:
            query: Query | None = replace(_query(time), equal=((_SHARDS[0], shard),))
            while query is not None:
                page = self._store.query(query)
                yield from page
                query = query.following(page[-1]) if len(page) == query.limit else None

    def _note(self, document: Document) -> None:
        data = document.data or {}
        revision = data.get("revision")
        revoked = data.get("status") == ClientStatus.REVOKED.value
        client_id = document.path.rpartition("/")[2]
        self._cache.note_change(client_id, revision if isinstance(revision, int) else None, final=revoked)


class _ChangeListener:
    """Reads one change stream at a time in the background, and passes each document to `on_document`."""

    def __init__(
        self,
        feed: Feed,
        on_document: Callable[[Document], None],
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None],
    ) -> None:
        self._feed = feed
        self._on_document = on_document
        self._monotonic = monotonic
        self._background = background
        self._lock = threading.Lock()
        self._stream: DocumentStream | None = None
        self._closed = False
        self._pause = FIRST_PAUSE_SECONDS
        self._not_before = _NEVER

    def start(self, query: Query) -> None:
        """Open a stream, unless one is open or the last one broke off a moment ago."""
        with self._lock:
            if self._closed or self._stream is not None or self._monotonic() < self._not_before:
                return
            self._stream = stream = self._feed.follow(query, _SHARDS)
        self._background(lambda: self._listen(stream))

    def close(self) -> None:
        """Close the stream for good."""
        with self._lock:
            self._closed, stream = True, self._stream
        if stream is not None:
            stream.cancel()

    def _listen(self, stream: DocumentStream) -> None:
        began = self._monotonic()
        try:
            for document in stream:
                self._on_document(document)
        except StoreError:
            pass  # the polls find what the stream did not deliver
        finally:
            self._pause_after(self._monotonic() - began)

    def _pause_after(self, seconds: float) -> None:
        with self._lock:
            self._stream = None
            ended_early = seconds < LONGEST_PAUSE_SECONDS
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS) if ended_early else FIRST_PAUSE_SECONDS
            self._not_before = self._monotonic() + self._pause


def _query(time: datetime) -> Query:
    """Return the query for clients that the store stamped as changed at `time` or later, in any shard."""
    return Query(paths.CLIENTS, order_by=CHANGED_AT, at_least=time)
