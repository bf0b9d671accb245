"""Feed: documents as they change, pushed by the store.

No decision may rest on it. A feed can be late, omit or repeat changes, change their order, and end at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.ports.store import Document, Query


class DocumentStream(Protocol):
    """A stream of documents. One thread iterates over it. Any thread can end it with `cancel`."""

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents that the query finds now, and then each changed one, until the store ends the stream.

        Raises `StoreError` if the stream breaks.
        """
        ...

    def cancel(self) -> None:
        """End the stream."""
        ...


class Feed(Protocol):
    """The changes of one store."""

    def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> DocumentStream:
        """Return the stream of a query's documents, with one more condition: a field has one of several values.

        `either` names the field and the values. The query's limit has no effect. An index must cover the query with
        that field as one more equality. The stream is opened by its first iteration.
        """
        ...
