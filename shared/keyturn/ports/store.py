"""Store: documents by path, as in Firestore; one store for each database.

Every implementation keeps these rules, and one contract test holds them (tests/contracts/test_store.py):

1. `get` reads several documents at one instant. `read_time` of the snapshot is the `now` of decisions that rest on it.
2. `commit` applies all of its writes or none. Each write has a precondition: `Create` requires that there is no
   document, `Replace`, `Delete` and `Check` the version that was read, `Amend` that there is a document.
3. A version belongs to one state of one document and never comes back, not even after a delete and a create.
4. No lock outlives a call. The loser of a race gets `LostRace`, reads again and decides again.
5. A query reads an index, never a collection. No decision rests on a query alone.
6. `Amend` requires no version. It is for a document that changes only in commits that also write another document with
   a version.
7. A commit has at most `MAX_WRITES` writes and `MAX_COMMIT_BYTES`, a document at most `MAX_DOCUMENT_BYTES`: the limits
   of Firestore, which its emulator does not enforce. A larger one is refused whole, with `CommitTooLarge`.
8. A stamp is a time that the store itself takes while it carries out the commit: not before the commit arrived, and
   not after the commit time that it returns.
9. A commit with a `basis` takes effect at most `longest_commit` after that snapshot's read time, or never: the store
   refuses an older basis with `LostRace`. So a decision can keep its distance from the edges of time that it rests on.
10. A store whose clock may be wrong says so with its snapshots. Nothing that time alone brings is written then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from keyturn.domain.errors import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_T = TypeVar("_T")

MAX_WRITES = 500
MAX_COMMIT_BYTES = 10 * 1024 * 1024
MAX_DOCUMENT_BYTES = 1024 * 1024
"""Limits of one commit and one document: https://firebase.google.com/docs/firestore/quotas."""
_NUMBER_BYTES, _NAME_BYTES, _DOCUMENT_BYTES = 8, 16, 32

Value: TypeAlias = "bool | int | str | bytes | datetime | Sequence[Value] | Mapping[str, Value] | None"
"""A field's value: the types of Firestore that this package uses. Datetimes are aware UTC, to the microsecond."""

Data: TypeAlias = "Mapping[str, Value]"

DocumentVersion: TypeAlias = "str"
"""Opaque: the update time in Firestore, a rising number in other stores."""


class StoreError(Exception):
    """The base of every error that a store raises."""


class LostRace(StoreError):  # noqa: N818 - the usual term: nothing failed, another commit came first
    """A precondition did not hold, or the outcome is unknown: assume nothing and read again."""


class CommitTooLarge(StoreError):  # noqa: N818 - named after what the caller can change
    """A commit exceeds the limits of rule 7. Nothing was written, and repeating it does not help: split it."""


class StoreUnavailable(StoreError):  # noqa: N818 - named after HTTP's own word for it
    """The store does not answer, or its files are damaged or of a newer version."""


class StoreDamaged(StoreUnavailable):
    """The store's files are damaged: only a backup helps."""


class StoreFull(StoreUnavailable):
    """The disk that holds the store is full. Nothing was written, and reading still works."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was read; `version` and `data` are None if there is none.

    The typed readers raise `Broken`, not a refusal: only this package writes documents, so a field of another type is
    damage and never a caller's mistake.
    """

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
        """The document's data. Raises `Broken` if the document does not exist."""
        if self.data is None:
            raise Broken("a stored document is missing")
        return self.data

    def text(self, name: str) -> str:
        """Return a text field. Raises `Broken` if the document or the field is missing, or of another type."""
        return typed(self.fields, name, str)

    def integer(self, name: str) -> int:
        """Return an integer field. Raises `Broken` if the document or the field is missing, or of another type."""
        return typed(self.fields, name, int)

    def time(self, name: str) -> datetime:
        """Return a time (aware UTC). Raises `Broken` if the document or the field is missing, or of another type."""
        return typed(self.fields, name, datetime)

    def mapping(self, name: str) -> Data:
        """Return a map field. Raises `Broken` if the document or the field is missing, or of another type."""
        return mapping(self.fields, name)

    def texts(self, name: str) -> Sequence[str]:
        """Return a list of texts. Raises `Broken` if the document or the field is missing, or of another type."""
        return typed_list(self.fields, name, str)

    def times(self, name: str) -> Sequence[datetime]:
        """Return a list of times (UTC). Raises `Broken` if the document or the field is missing, or of another type."""
        return typed_list(self.fields, name, datetime)


def typed(data: Data, name: str, kind: type[_T]) -> _T:
    """Return a field of type `kind`. Raises `Broken` if it is missing or of another type."""
    value = data.get(name)
    if not isinstance(value, kind):
        raise Broken(f"a stored document's field is not {kind.__name__}")
    return value


def typed_list(data: Data, name: str, kind: type[_T]) -> list[_T]:
    """Return a field that is a list of `kind`. Raises `Broken` if it is missing or of another type."""
    values = data.get(name)
    if not isinstance(values, list | tuple):
        raise Broken("a stored document's field is not a list")
    items = [value for value in values if isinstance(value, kind)]
    if len(items) != len(values):
        raise Broken(f"a stored document's field is not a list of {kind.__name__}")
    return items


def mappings(data: Data, name: str) -> list[Data]:
    """Return a field that is a list of maps. Raises `Broken` if it is missing or of another type."""
    return typed_list(data, name, Mapping)  # type: ignore[type-abstract]  # only for isinstance


def mapping(data: Data, name: str) -> Data:
    """Return a field that is a map. Raises `Broken` if it is missing or of another type."""
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise Broken("a stored document's field is not a map")
    return value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Documents by path, all as they were at `read_time` (aware UTC, the store's clock)."""

    documents: Mapping[str, Document]
    read_time: datetime
    asked_at: float | None = field(default=None, compare=False)
    """When the read was sent, in seconds of a clock of this process. Only the store that set it uses it (rule 9)."""
    is_time_certain: bool = field(default=True, compare=False)
    """Whether the store's clock is confirmed (rule 10)."""

    def __getitem__(self, path: str) -> Document:
        """Return the document at `path`. Raises `KeyError` if it was not read."""
        return self.documents[path]


@dataclass(frozen=True, slots=True)
class Create:
    """Create a document where there is none; the store writes the commit's own time into the field `stamped`."""

    path: str
    data: Data = field(repr=False)
    stamped: str | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace a whole document, if it still has the version that was read; `stamped` as in `Create`."""

    path: str
    data: Data = field(repr=False)
    version: DocumentVersion
    stamped: str | None = None


@dataclass(frozen=True, slots=True)
class Amend:
    """Replace these fields of an existing document and leave the others as they are (rule 6)."""

    path: str
    data: Data = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a document, if it still has the version that was read."""

    path: str
    version: DocumentVersion


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but require that the document still has the version that was read (None: is still absent)."""

    path: str
    version: DocumentVersion | None


Write: TypeAlias = "Create | Replace | Amend | Delete | Check"


def put(document: Document, data: Data, stamped: str | None = None) -> Create | Replace:
    """Return the write of `data` to the place of `document`, under the condition that it is as it was read."""
    # A document that appeared since the read makes the commit fail.
    if document.version is None:
        return Create(document.path, data, stamped)
    return Replace(document.path, data, document.version, stamped)


def update(document: Document, data: Data) -> Create | Replace:
    """Return the write as `put`, which keeps the fields that `data` does not name: a newer release may have added them.

    Entities keep such fields themselves (`keyturn.domain.record`).
    """
    return put(document, {**(document.data or {}), **data})


def delete(document: Document) -> Delete:
    """Return the write that deletes a document that was read, only at the version that was read."""
    if document.version is None:
        raise Broken("a document that is to be deleted is missing")
    return Delete(document.path, document.version)


@dataclass(frozen=True, slots=True)
class Query:
    """Documents of one collection, ordered by one field and then by path.

    `equal` are equalities; `at_least` and `at_most` bound the ordered field. A document with a null or missing
    ordered field is never returned, as in Firestore with a range filter. `after` is the last document of
    the page before.
    """

    collection: str
    order_by: str
    equal: tuple[tuple[str, str | int | bool], ...] = ()
    at_least: str | int | datetime | None = None
    at_most: str | int | datetime | None = None
    limit: int = 100
    after: Document | None = None

    def following(self, last: Document) -> Query:
        """Return the query for the page after the one that ended with `last`."""
        return replace(self, after=last)


def value_bytes(value: Value) -> int:
    """Return the stored size of a field's value (https://firebase.google.com/docs/firestore/storage-size)."""
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return len(value.encode("utf-8")) + 1
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(value_bytes(name) + value_bytes(item) for name, item in value.items())
    # After `bool`, which is an `int` in Python and has one byte.
    if isinstance(value, int | datetime):
        return _NUMBER_BYTES
    return sum(map(value_bytes, value))


def write_bytes(write: Write) -> int:
    """Return the size of a write: of the document's name, its fields, and 32 bytes that Firestore adds to each."""
    name = _NAME_BYTES + sum(len(part.encode("utf-8")) + 1 for part in write.path.split("/"))
    data = write.data if isinstance(write, (Create, Replace, Amend)) else {}
    return name + value_bytes(data) + _DOCUMENT_BYTES


class Store(Protocol):
    """One database. Every call may raise `StoreUnavailable`."""

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents at one instant."""
        ...

    @property
    def longest_commit(self) -> timedelta:
        """The longest time from the read time of a commit's `basis` until the commit takes effect (rule 9)."""
        ...

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Apply all writes and return the commit time (aware UTC), or none and raise `LostRace` or `CommitTooLarge`.

        No two writes have the same path. `basis` is what a decision rests on that must not come late (rule 9).
        """
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
        # A short page is the last one, so the common case of few documents costs one query.
        if len(page) < query.limit:
            return
        query = query.following(page[-1])


def scan(store: Store, query: Query) -> Iterator[Document]:
    """Yield every document that a query returns, page by page."""
    return chain.from_iterable(pages(store, query))


@dataclass(frozen=True, slots=True)
class Databases:
    """The three databases of a deployment: access is granted by database (docs/protocol.md §3)."""

    control: Store
    auth: Store
    usage: Store
