"""Rules that every store shares: paths, values, index keys, and time that does not go back.

1. A path alternates collections and ids. A document's path has an even number of segments, a collection's an odd one.
2. Data is deeply immutable in both directions. Only a commit changes a document.
3. An index holds integers, booleans, times and strings in one order. Values of other types are in no index.
4. Every store refuses a query that no declared index covers, so that a query that works locally works on Firestore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from keyturn.ports.store import (
    MAX_COMMIT_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_WRITES,
    Check,
    CommitTooLarge,
    Create,
    Delete,
    LostRace,
    Replace,
    StoreError,
    write_bytes,
)

if TYPE_CHECKING:
    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Data, Document, Query, Snapshot, Value, Write

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY_OFFSET = 62_135_596_800_000_000
"""Microseconds from year 1 to 1970. Added to a time, it makes the index key a non-negative number of 18 digits."""
HELD_BACK = timedelta(seconds=60)
EMBEDDED_LONGEST_COMMIT = timedelta(seconds=2)
"""`longest_commit` of a store that compares the commit time with the basis inside of the commit."""
LATE_COMMIT = "a decision took effect later than the store allows: check the last rotation of each client"
"""What is logged as an error when a commit turns out to be late (docs/protocol.md §4)."""
_INTEGERS = range(-(2**63), 2**63)
_BOUNDS: tuple[tuple[int | str, int | str], ...] = ((_INTEGERS[0], ""), ("b", "b~"), ("t", "t~"), ("u", "v"))


def utc_now() -> datetime:
    """Return the host's time, aware UTC. This is an embedded store's default clock."""
    return datetime.now(UTC)


def steady_time(now: datetime, last: datetime) -> datetime:
    """Return the store's next time: `last` while the clock is at most 60 s behind it, otherwise `now`.

    A larger correction is followed. Otherwise a store that once saw a wrong year would stand still until that year.
    """
    return last if now < last <= now + HELD_BACK else now


def check_age(basis: Snapshot | None, now: datetime, elapsed: float | None = None) -> None:
    """Raise `LostRace` if a commit at `now` is too late for its basis (rule 9 of the port).

    `elapsed` is the time now of the clock of the basis's `asked_at`.
    """
    if basis is None:
        return
    ages = [now - basis.read_time]
    if elapsed is not None and basis.asked_at is not None:
        ages.append(timedelta(seconds=elapsed - basis.asked_at))
    if max(ages) > EMBEDDED_LONGEST_COMMIT:
        raise LostRace("the commit comes too late after its read")


def micros(time: datetime) -> int:
    """Return an aware time as whole microseconds since 1970, without floating point."""
    return (time - EPOCH) // timedelta(microseconds=1)


def from_micros(count: int) -> datetime:
    """Return the aware UTC time of `count` microseconds since 1970."""
    return EPOCH + timedelta(microseconds=count)


def freeze(data: Data) -> Data:
    """Return an immutable copy. TypeError or ValueError for values that a Firestore document can't hold."""
    if not all(isinstance(name, str) and name for name in data):
        raise TypeError("field names are non-empty strings")
    return MappingProxyType({name: _frozen_value(value) for name, value in data.items()})


def _frozen_value(value: Value) -> Value:
    match value:
        case None | bool() | bytes():
            return value
        case int():
            return _check_range(value)
        case str():
            return _check_unicode(value)
        case datetime():
            return _utc(value)
        case Mapping():
            return freeze(value)
        case list() | tuple():
            return tuple(_frozen_element(element) for element in value)
    raise TypeError("a document can't hold a value of this type")


def _frozen_element(value: Value) -> Value:
    if isinstance(value, (list, tuple)):
        raise TypeError("a sequence can't directly contain a sequence, as in Firestore")
    return _frozen_value(value)


def _check_range(value: int) -> int:
    if value not in _INTEGERS:
        raise ValueError("an integer has at most 64 bits")
    return value


def _check_unicode(value: str) -> str:
    # Lone surrogates have no UTF-8 encoding, so neither SQLite nor Firestore could store them.
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("a string is valid Unicode, without lone surrogates")
    return value


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time has a time zone")
    return value.astimezone(UTC)


def document_path(path: str) -> str:
    """Return `path` if it can name a document. ValueError otherwise."""
    return _path(path, remainder=0)


def collection_of(path: str) -> str:
    """Return the collection that the document at `path` is in."""
    return path.rpartition("/")[0]


def _path(path: str, remainder: int) -> str:
    parts = path.split("/")
    if len(parts) % 2 != remainder or any(part in {"", ".", ".."} for part in parts):
        raise ValueError("a document's path has an even number of segments, a collection's an odd one, none empty")
    return _check_unicode(path)


def distinct_paths(writes: Sequence[Write]) -> list[str]:
    """Return the paths of one commit in order. ValueError for an invalid path or one that occurs twice.

    `CommitTooLarge` for a commit beyond the limits of the port (rule 7).
    """
    paths = [document_path(write.path) for write in writes]
    if len(set(paths)) != len(paths):
        raise ValueError("no two writes of a commit share a path")
    if len(paths) > MAX_WRITES:
        raise CommitTooLarge(f"a commit has at most {MAX_WRITES} writes")
    sizes = [write_bytes(write) for write in writes]
    if sum(sizes) > MAX_COMMIT_BYTES:
        raise CommitTooLarge(f"a commit has at most {MAX_COMMIT_BYTES} bytes")
    if max(sizes, default=0) > MAX_DOCUMENT_BYTES:
        raise CommitTooLarge(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    return paths


def freeze_write(write: Write, now: datetime | None = None) -> Write:
    """Return a write with immutable data. If it requests a timestamp field and `now` is known, add the field."""
    if isinstance(write, (Delete, Check)):
        return write
    name = write.stamped if isinstance(write, (Create, Replace)) else None
    stamp = {name: now} if name and now is not None else {}
    return replace(write, data=freeze({**write.data, **stamp}))


def shape(collection: str) -> str:
    """Return a collection's path with every id replaced by `*`. Indexes are declared for such shapes."""
    return "/".join("*" if at % 2 else part for at, part in enumerate(collection.split("/")))


def matches(pattern: str, path: str) -> bool:
    """Return whether `path` matches `pattern`, in which `{name}` stands for any one segment."""
    parts, segments = pattern.split("/"), path.split("/")
    same = (part.startswith("{") or part == segment for part, segment in zip(parts, segments, strict=False))
    return len(parts) == len(segments) and all(same)


def index_key(value: Value) -> int | str | None:
    """Return a value's index key. Integers are themselves, other types text. None if the value is in no index.

    The text's first letter orders the types: b(ooleans) < t(imes) < u (strings, which are Unicode).
    """
    match value:
        case bool():
            return "b1" if value else "b0"
        case int():
            return value
        case str():
            return f"u{value}"
        case datetime():
            return f"t{micros(value) + KEY_OFFSET:018d}"
    return None


def sort_key(key: int | str) -> tuple[bool, int, str]:
    """Return the sort key of an index key: integers first, then text by code points (the order of UTF-8 bytes)."""
    return (True, 0, key) if isinstance(key, str) else (False, key, "")


def find_index(query: Query, indexes: Sequence[Index]) -> Index:
    """Return the declared index that covers a query. StoreError if there is none, ValueError for an invalid query."""
    _path(query.collection, remainder=1)
    if query.limit < 1:
        raise ValueError("a page has at least one document")
    names = sorted(name for name, _ in query.equal)
    for index in indexes:
        if (shape(index.collection), sorted(index.equal), index.order_by) == (
            shape(query.collection),
            names,
            query.order_by,
        ):
            return index
    raise StoreError("undeclared index")


def key_bounds(query: Query) -> tuple[int | str, int | str]:
    """Return the smallest and the largest key that a query may return, both inclusive.

    As in Firestore, a bound also restricts the type: only times are at most a time.
    """
    keys = [index_key(bound) for bound in (query.at_least, query.at_most)]
    spans = {_span(key) for key in keys if key is not None} or {(_BOUNDS[0][0], _BOUNDS[-1][1])}
    if len(spans) > 1:
        raise ValueError("both bounds of a query have the same type")
    low, high = spans.pop()
    return (low if keys[0] is None else keys[0], high if keys[1] is None else keys[1])


def _span(key: int | str) -> tuple[int | str, int | str]:
    return next(span for span in _BOUNDS if sort_key(span[0]) <= sort_key(key) <= sort_key(span[1]))


def cursor(query: Query, after: Document) -> tuple[int | str, str]:
    """Return key and path of the last document of the previous page. ValueError if the query can't have returned it."""
    key = index_key((after.data or {}).get(query.order_by))
    if key is None:
        raise ValueError("a cursor is a document that the query returned")
    return key, after.path
