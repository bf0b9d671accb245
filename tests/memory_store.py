"""The store in memory: one process, for simulation; what the contract says and nothing else."""

from __future__ import annotations

from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import (
    EMBEDDED_LONGEST_COMMIT,
    EPOCH,
    check_age,
    collection_of,
    cursor,
    distinct_paths,
    document_path,
    find_index,
    freeze_write,
    index_key,
    key_bounds,
    sort_key,
    steady_time,
)
from keyturn.ports.indexes import INDEXES
from keyturn.ports.store import Amend, Check, Create, Delete, Document, LostRace, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Query, Write


class MemoryStore:
    """Implement `keyturn.ports.store.Store` over a dictionary; any number of threads may share it.

    `clock` gives aware UTC; read and commit times follow it, but don't go back with it.
    """

    def __init__(self, clock: Callable[[], datetime], indexes: Sequence[Index] = INDEXES) -> None:
        self._clock = clock
        self._indexes = tuple(indexes)
        self._lock = Lock()
        self._documents: dict[str, Document] = {}
        self._collections: dict[str, dict[str, Document]] = {}
        self._version = 0
        self._time = EPOCH

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents at one instant."""
        wanted = [document_path(path) for path in paths]
        with self._lock:
            found = {path: self._at(path) for path in wanted}
            return Snapshot(MappingProxyType(found), self._tick())

    @property
    def longest_commit(self) -> timedelta:
        return EMBEDDED_LONGEST_COMMIT

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Apply all writes, or none and raise `LostRace`; the commit time."""
        distinct_paths(writes)
        ready = [freeze_write(write) for write in writes]
        with self._lock:
            if not all(_holds(write, self._at(write.path)) for write in ready):
                raise LostRace("a document changed since it was read")
            now = self._tick()
            check_age(basis, now)
            for write in ready:
                self._apply(freeze_write(write, now) if getattr(write, "stamped", None) else write)
            return now

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page of a declared index; StoreError("undeclared index") otherwise."""
        find_index(query, self._indexes)
        with self._lock:
            documents = tuple(self._collections.get(query.collection, {}).values())
        entries = sorted(_entries(query, documents), key=lambda entry: (sort_key(entry[0]), entry[1].path))
        if query.after is not None:
            key, path = cursor(query, query.after)
            entries = [entry for entry in entries if (sort_key(entry[0]), entry[1].path) > (sort_key(key), path)]
        return tuple(document for _, document in entries[: query.limit])

    def _at(self, path: str) -> Document:
        return self._documents.get(path, Document(path, None, None))

    def _tick(self) -> datetime:
        self._time = steady_time(self._clock(), self._time)
        return self._time

    def _apply(self, write: Write) -> None:
        if isinstance(write, Delete):
            del self._documents[write.path]
            del self._collections[collection_of(write.path)][write.path]
        elif not isinstance(write, Check):
            self._version += 1
            left = self._at(write.path).data or {} if isinstance(write, Amend) else {}
            data = MappingProxyType({**left, **write.data})
            self._keep(Document(write.path, data, str(self._version)))

    def _keep(self, document: Document) -> None:
        self._documents[document.path] = document
        self._collections.setdefault(collection_of(document.path), {})[document.path] = document

    def restore(self, documents: Mapping[str, Document], version: int) -> None:
        """Take the documents of another store, as a copy of its disk would have them."""
        with self._lock:
            self._documents, self._collections, self._version = {}, {}, version
            for document in documents.values():
                self._keep(document)


def _holds(write: Write, found: Document) -> bool:
    if isinstance(write, Amend):
        return found.exists
    return found.version == (None if isinstance(write, Create) else write.version)


def _entries(query: Query, documents: Sequence[Document]) -> Iterator[tuple[int | str, Document]]:
    low, high = key_bounds(query)
    equal = {name: index_key(value) for name, value in query.equal}
    for document in documents:
        data = document.data or {}
        key = index_key(data.get(query.order_by))
        if key is None:
            continue
        within = sort_key(low) <= sort_key(key) and (sort_key(key) <= sort_key(high))
        if within and all(index_key(data.get(name)) == value for name, value in equal.items()):
            yield key, document
