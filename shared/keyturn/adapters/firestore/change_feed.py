"""A feed on Firestore: one Listen stream with one target; no view of what it finds is kept here, only passed on.

The vendor's own `on_snapshot` keeps every document that its query ever found: too much for a query of what changes.
Nothing of the vendor's is imported before something is followed (as in store_firestore.py).
"""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import declared
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
    """Implement `keyturn.ports.feed.Feed` over one database of a project, on the stores' channel."""

    def __init__(
        self, channel: FirestoreChannel, *, project: str, database: str, indexes: Sequence[Index] = INDEXES
    ) -> None:
        self._channel = channel
        self._root = f"projects/{project}/databases/{database}/documents"
        self._indexes = tuple(indexes)

    def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> FirestoreFollowing:
        """Follow what a query finds with any of these values; StoreError("undeclared index") as the store."""
        name, values = either
        one = replace(query, equal=(*query.equal, (name, values[0])))
        return FirestoreFollowing(self._channel, self._root, one, declared(one, self._indexes), either)


class FirestoreFollowing:
    """Implement `keyturn.ports.feed.Following`."""

    def __init__(
        self, channel: FirestoreChannel, root: str, query: Query, index: Index, either: tuple[str, Sequence[int]]
    ) -> None:
        self._channel = channel
        self._root = root
        self._asked = query, index, either
        self._to_send: SimpleQueue[Message | None] = SimpleQueue()
        self._stream: Stream | None = None
        self._cancelled = Event()
        self.opened = Event()
        """Set once the store has answered: what changes from then on is heard of."""

    def __iter__(self) -> Iterator[Document]:
        """Yield documents until the stream ends; `StoreError` where it broke off."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - see above

        self._to_send.put(requests.add_target(self._root, *self._asked))
        try:
            yield from self._documents()
        except StoreUnavailable:
            if not self._cancelled.is_set():
                raise
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the stream and what waits to be sent on it."""
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
        if self._cancelled.is_set():  # between the two lines above: nobody else would end it
            stream.cancel()
        for response in rpc.listened(stream):
            if requests.ended(response):
                raise StoreUnavailable("the store ended a target")
            if response.HasField("document_change"):
                yield requests.document_of(self._root, response.document_change.document)
