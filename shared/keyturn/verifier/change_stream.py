"""Listening: hears of changes sooner than a poll finds them, where the store can tell; nothing rests on it.

What is heard ends what was kept, and never vouches for anything: a change that is told late, twice, in another order or
not at all costs speed only. A stream that ended is opened again after a later poll.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from keyturn.ports.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.ports.feed import DocumentStream, Feed
    from keyturn.ports.store import Document, Query

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 300.0


class Listening:
    """Follows one feed, in the background, at most once at a time; `took` is given every document that is heard of."""

    def __init__(
        self,
        feed: Feed,
        took: Callable[[Document], None],
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None],
    ) -> None:
        self._feed = feed
        self._took = took
        self._monotonic = monotonic
        self._background = background
        self._lock = Lock()
        self._following: DocumentStream | None = None
        self._closed = False
        self._pause = FIRST_PAUSE_SECONDS
        self._not_before = float("-inf")

    def begin(self, query: Query, either: tuple[str, Sequence[int]]) -> None:
        """Follow a query (as `Feed.follow`), unless something is followed already or failed just now."""
        with self._lock:
            if self._closed or self._following is not None or self._monotonic() < self._not_before:
                return
            self._following = following = self._feed.follow(query, either)
        self._background(lambda: self._hear(following))

    def end(self) -> None:
        """Follow nothing any more."""
        with self._lock:
            self._closed, following = True, self._following
        if following is not None:
            following.cancel()

    def _hear(self, following: DocumentStream) -> None:
        began = self._monotonic()
        try:
            for document in following:
                self._took(document)
        except StoreError:
            pass  # the polls go on, and find what was not heard
        finally:
            self._rest(self._monotonic() - began)

    def _rest(self, lasted: float) -> None:
        """Wait the longer before the next time, the oftener it ended at once."""
        with self._lock:
            self._following = None
            again = lasted < LONGEST_PAUSE_SECONDS
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS) if again else FIRST_PAUSE_SECONDS
            self._not_before = self._monotonic() + self._pause
