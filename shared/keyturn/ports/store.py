"""Store: documents by path, as Firestore has them; one store a database.

Rules, which every implementation keeps and one contract tests:

1. `get` reads several documents at one instant; the snapshot says which, and that `read_time` is the decision's now.
2. `commit` applies all of its writes or none. Each write names what it rests on: `Create` that there is no document,
   `Update`, `Delete` and `Check` the version that was read, `Amend` that there is a document.
3. A version belongs to one state of one document and never comes back, not even after delete and create.
4. No lock outlives a call. Who loses a race gets `LostRace`, reads again and decides again.
5. A query reads an index, never a collection; no decision rests on a query alone.
6. `Amend` rests on no version: for a document that changes only beside another one, which the commit does rest on.
7. A stamp is a time that the store itself took while it carried out the commit: after the commit reached it, and not
   after the commit time that it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from keyturn.domain.errors import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_T = TypeVar("_T")

Value: TypeAlias = "bool | int | str | bytes | datetime | Sequence[Value] | Mapping[str, Value] | None"
"""What a field may hold: Firestore's types that this suite uses. Datetimes are aware UTC, to the microsecond."""

Data: TypeAlias = "Mapping[str, Value]"

DocumentVersion: TypeAlias = "str"
"""Opaque: the update time on Firestore, a rising number elsewhere."""


class StoreError(Exception):
    """Family of what leaves a store."""


class LostRace(StoreError):  # noqa: N818 - the field's word for it: nothing failed, somebody was faster
    """A precondition did not hold, or the outcome is unknown: nothing may be assumed, read again."""


class StoreUnavailable(StoreError):  # noqa: N818 - named after HTTP's own word for it
    """The store does not answer, or its files are damaged or of a newer version."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was read; `version` and `data` are None where there is none."""

    path: str
    data: Data | None = field(repr=False)
    version: DocumentVersion | None

    @property
    def exists(self) -> bool:
        """Whether there was a document at this path."""
        return self.version is not None

    @property
    def id(self) -> str:
        """The document's id: the last segment of its path."""
        return self.path.rpartition("/")[2]

    @property
    def fields(self) -> Data:
        """The document's data; `Broken` if the document does not exist."""
        if self.data is None:
            raise Broken("a stored document is missing")
        return self.data

    def text(self, name: str) -> str:
        """Return a text field; `Broken` if the document or the field is missing, or of another type."""
        return typed(self.fields, name, str)

    def integer(self, name: str) -> int:
        """Return an integer field; `Broken` if the document or the field is missing, or of another type."""
        return typed(self.fields, name, int)

    def time(self, name: str) -> datetime:
        """Return a time (aware UTC); `Broken` if the document or the field is missing, or of another type."""
        return typed(self.fields, name, datetime)


def typed(data: Data, name: str, kind: type[_T]) -> _T:
    """Return a field of type `kind`; `Broken` if it is missing or of another type."""
    value = data.get(name)
    if not isinstance(value, kind):
        raise Broken(f"a stored document's field is not {kind.__name__}")
    return value


def mapping(data: Data, name: str) -> Data:
    """Return a field that is a map; `Broken` if it is missing or of another type."""
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise Broken("a stored document's field is not a map")
    return value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Documents by path as they were together at `read_time` (aware UTC, the store's clock)."""

    documents: Mapping[str, Document]
    read_time: datetime

    def __getitem__(self, path: str) -> Document:
        """Return the document read at `path`; KeyError if it was not asked for."""
        return self.documents[path]


@dataclass(frozen=True, slots=True)
class Create:
    """Write a document where there must be none; the store puts the commit's own time into the field `stamped`."""

    path: str
    data: Data = field(repr=False)
    stamped: str | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace a whole document, only at the version that was read; `stamped` as in `Create`."""

    path: str
    data: Data = field(repr=False)
    version: DocumentVersion
    stamped: str | None = None


@dataclass(frozen=True, slots=True)
class Amend:
    """Replace these fields of a document that there is, and leave its others as they are (rule 6)."""

    path: str
    data: Data = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a document, only at the version that was read."""

    path: str
    version: DocumentVersion


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but demand that the document is still at the version that was read (None: still absent)."""

    path: str
    version: DocumentVersion | None


Write: TypeAlias = "Create | Replace | Amend | Delete | Check"


def put(document: Document, data: Data, stamped: str | None = None) -> Create | Replace:
    """Return the write that puts `data` where `document` was read, resting on what was read."""
    if document.version is None:
        return Create(document.path, data, stamped)
    return Replace(document.path, data, document.version, stamped)


def delete(document: Document) -> Delete:
    """Return the write that deletes a document that was read, only at the version that was read."""
    if document.version is None:
        raise Broken("a document that is to be deleted is missing")
    return Delete(document.path, document.version)


@dataclass(frozen=True, slots=True)
class Query:
    """Documents of one collection, ordered by one field and then by path.

    `equal` are equalities, `at_most` bounds the ordered field; a null or missing ordered field is never returned (as in
    Firestore under a range filter). `after` is the last document of the page before.
    """

    collection: str
    order_by: str
    equal: tuple[tuple[str, str | int | bool], ...] = ()
    at_least: str | int | datetime | None = None
    at_most: str | int | datetime | None = None
    limit: int = 100
    after: Document | None = None

    def following(self, last: Document) -> Query:
        """Return the query of the page after the one that ended with `last`."""
        return replace(self, after=last)


class Store(Protocol):
    """One database. Every call may raise `StoreUnavailable`."""

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents at one instant."""
        ...

    def commit(self, writes: Sequence[Write]) -> datetime:
        """Apply all writes, or none and raise `LostRace`; the commit time, aware UTC. No two writes share a path."""
        ...

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page from an index declared in `keyturn.ports.indexes`; fewer than `limit` means the last page."""
        ...


def pages(store: Store, query: Query) -> Iterator[Sequence[Document]]:
    """Yield the pages of a query, each with 1 to `query.limit` documents, and read the next one only when asked.

    The next page begins after the last document's key, so the caller may delete or change the documents of this one.
    """
    while page := store.query(query):
        yield page
        if len(page) < query.limit:
            return
        query = query.following(page[-1])


def scan(store: Store, query: Query) -> Iterator[Document]:
    """Yield every document that a query finds, reading it page by page."""
    return chain.from_iterable(pages(store, query))


@dataclass(frozen=True, slots=True)
class Databases:
    """The three databases of a deployment: access is granted by database (protocol.md §3)."""

    control: Store
    auth: Store
    usage: Store
