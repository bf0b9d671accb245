"""Feed: documents as they change, told by the store without being asked again.

Nothing may rest on it: it may be late, leave things out, tell them twice or in another order, and end at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.ports.store import Document, Query


class DocumentStream(Protocol):
    """What is being followed. One thread goes through it; `cancel` ends it, from any thread, for good."""

    def __iter__(self) -> Iterator[Document]:
        """Yield documents that the query finds, those of now and then each that comes; ends when the store ends it.

        `StoreError` where it broke off instead.
        """
        ...

    def cancel(self) -> None:
        """End it."""
        ...


class Feed(Protocol):
    """Where one store's changes can be followed."""

    def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> DocumentStream:
        """Follow what a query finds whose field (named first) has one of these values; opened when it is read.

        The query's limit counts for nothing; an index covers it with that field as one more equality.
        """
        ...
