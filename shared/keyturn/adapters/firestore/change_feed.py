"""A feed of changes on Firestore: one Listen stream with one target. Documents are passed on and not kept.

The vendor's own `on_snapshot` keeps every document that matches its query, which is too much for a query of changes.
No vendor module is imported before a query is followed (as in store.py).
"""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import find_index
from keyturn.ports.indexes import INDEXES
from keyturn.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.adapters.firestore.rpc import Stream
    from keyturn.adapters.firestore.store import FirestoreChannel
    from keyturn.adapters.firestore.values import Message
    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Document, Query


class FirestoreFeed:
    """Implements `keyturn.ports.feed.Feed` over one database of a project, on the stores' channel."""

    def __init__(
        self, channel: FirestoreChannel, *, project: str, database: str, indexes: Sequence[Index] = INDEXES
    ) -> None:
        self._channel = channel
        self._root = f"projects/{project}/databases/{database}/documents"
        self._indexes = tuple(indexes)

    def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> FirestoreFollowing:
        """Follow a query that matches any of these values. StoreError("undeclared index") as in the store."""
        name, values = either
        one = replace(query, equal=(*query.equal, (name, values[0])))
        return FirestoreFollowing(self._channel, self._root, one, find_index(one, self._indexes), either)


class FirestoreFollowing:
    """Implements `keyturn.ports.feed.Following`."""

    def __init__(
        self, channel: FirestoreChannel, root: str, query: Query, index: Index, either: tuple[str, Sequence[int]]
    ) -> None:
        self._channel = channel
        self._root = root
        self._target = query, index, either
        self._to_send: SimpleQueue[Message | None] = SimpleQueue()
        self._stream: Stream | None = None
        self._cancelled = Event()
        self.opened = Event()
        """Set once the store has opened the stream. Later changes will be reported."""

    def __iter__(self) -> Iterator[Document]:
        """Yield documents until the stream ends. `StoreError` if it breaks off."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - see above

        self._to_send.put(requests.add_target(self._root, *self._target))
        try:
            yield from self._documents()
        except StoreUnavailable:
            if not self._cancelled.is_set():
                raise
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the stream and its queue of requests."""
        self._cancelled.set()
        self._to_send.put(None)
        if self._stream is not None:
            self._stream.cancel()

    def _documents(self) -> Iterator[Document]:
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - see above

        rpc = self._channel.rpc
        database = self._root.removesuffix("/documents")
        self._stream = stream = rpc.listen(iter(self._to_send.get, None), database)
        self.opened.set()
        if self._cancelled.is_set():  # `cancel` may have run before `_stream` was assigned
            stream.cancel()
        for response in rpc.responses(stream):
            if requests.removes_target(response):
                raise StoreUnavailable("the store ended the stream's target")
            if response.HasField("document_change"):
                yield requests.document_of(self._root, response.document_change.document)
