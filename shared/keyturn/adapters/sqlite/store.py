"""The embedded default store: one SQLite file, many threads and processes, nothing half-written.

1. One commit is one immediate transaction: preconditions, documents, and a row in the outbox for each written document
   that a trigger means. So a trigger is never lost and never fires for what didn't happen.
2. Versions come from one counter of the file, which only rises.
3. A commit that overwrites or deletes a document outside `PLAIN_ROOTS` empties the log, so that an MLS state that was
   left behind is in no byte of the file (RFC 9420 §9.2: deletion is what forward secrecy rests on).
"""

from __future__ import annotations

import json
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

from keyturn.adapters.document_values import (
    collection_of,
    distinct_paths,
    document_path,
    from_micros,
    frozen,
    matches,
    micros,
    prepared,
    shape,
    steady,
    utc_now,
)
from keyturn.adapters.sqlite.document_json import decode, encode
from keyturn.adapters.sqlite.file import SqliteFile
from keyturn.adapters.sqlite.query import create_index, page_statement
from keyturn.adapters.sqlite.schema import refusal
from keyturn.ports.indexes import INDEXES
from keyturn.ports.store import (
    Amend,
    Check,
    Create,
    Delete,
    Document,
    LostRace,
    Replace,
    Snapshot,
    StoreError,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Data, Query, Write
    from keyturn.ports.triggers import Trigger

PLAIN_ROOTS = frozenset({"oauth2_clients", "audit_heads", "oauth2_rotations", "rates"})
"""Collections, with all below them, whose old states hold nothing to forget: hashes, public keys, times."""

_READ = "SELECT path, version, data FROM documents WHERE path IN (SELECT value FROM json_each(?))"
_INSERT = "INSERT INTO documents (path, collection, shape, version, data) VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE documents SET version = ?, data = ? WHERE path = ?"
_OUTBOX = (
    "INSERT INTO outbox (event_id, door, kind, subject, attributes, published_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class SqliteStore:
    """Implement `keyturn.ports.store.Store` over the file at `path`, which is made (0600) when it isn't there.

    `triggers` are the patterns whose writes wake a door; `clock` gives aware UTC, and the store's times don't go back
    with it by less than a minute.
    """

    def __init__(
        self,
        path: Path,
        *,
        triggers: Sequence[Trigger] = (),
        indexes: Sequence[Index] = INDEXES,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._indexes = tuple(indexes)
        self._triggers = tuple(triggers)
        self._clock = clock
        self._last = from_micros(0)
        self.file = SqliteFile(path, dict(create_index(index) for index in self._indexes))

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents at one instant."""
        wanted = [document_path(path) for path in paths]
        now = self._clock()
        with self.file.reading() as connection:
            last = connection.execute("SELECT time FROM counter").fetchone()[0]
            rows = connection.execute(_READ, (json.dumps(wanted),)).fetchall()
        found = {path: Document(path, None, None) for path in wanted} | {row[0]: self._document(row) for row in rows}
        return Snapshot(MappingProxyType(found), self._steady(now, from_micros(last)))

    def commit(self, writes: Sequence[Write]) -> datetime:
        """Apply all writes, or none and raise `LostRace`; the commit time."""
        paths = distinct_paths(writes)
        texts = _texts(writes, None)
        with self.file.writing() as connection:
            _require(connection, writes, paths)
            now, version = self._advance(connection, len(texts))
            texts |= _texts([write for write in writes if getattr(write, "stamped", None)], now)
            texts |= {path: self._amended(connection, path, data) for path, data in _amendments(writes)}
            for write in writes:
                version += _apply(connection, write, version, texts)
            woken = self._record(connection, writes, now)
        self._wipe(writes)
        if woken:
            self.file.wake.set()  # last: a delivery that claims while the log is emptied makes both wait
        return now

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page of a declared index; StoreError("undeclared index") otherwise."""
        statement, values = page_statement(query, self._indexes)
        with self.file.reading() as connection:
            rows = connection.execute(statement, values).fetchall()
        return tuple(self._document(row) for row in rows)

    def publish(self, messages: Sequence[tuple[str, str, Mapping[str, str]]]) -> None:
        """Put messages (door, topic, attributes) in the outbox: the embedded bus."""
        with self.file.writing() as connection:
            now, _ = self._advance(connection, 0)
            for door, topic, attributes in messages:
                text = json.dumps(dict(attributes))
                connection.execute(_OUTBOX, _row(door, "topic", topic, text, now))
        self.file.wake.set()

    def checkpoint(self) -> bool:
        """Wipe what was overwritten from the log too; False while a reader is in the way: the sweeper repeats it."""
        return self.file.checkpoint()

    def reached(self) -> int:
        """Return the highest version so far: a store that shows a lower one than before is an older copy."""
        with self.file.reading() as connection:
            return int(connection.execute("SELECT version FROM counter").fetchone()[0])

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        self.file.close()

    def _document(self, row: tuple[str, int, str]) -> Document:
        path, version, text = row
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return Document(path, decode(text), str(version))
        raise refusal(self.file.path, "is damaged: a document can't be read")

    def _amended(self, connection: sqlite3.Connection, path: str, data: Data) -> str:
        (row,) = connection.execute(_READ, (json.dumps([path]),)).fetchall()
        return encode({**(self._document(row).data or {}), **data})

    def _steady(self, now: datetime, last: datetime) -> datetime:
        self._last = steady(steady(now, last), self._last)
        return self._last

    def _advance(self, connection: sqlite3.Connection, versions: int) -> tuple[datetime, int]:
        """Move counter and time of the file; return the commit time and the first of the new versions."""
        version, last = connection.execute("SELECT version, time FROM counter").fetchone()
        now = self._steady(self._clock(), from_micros(last))
        connection.execute("UPDATE counter SET version = ?, time = ?", (version + versions, micros(now)))
        return now, version + 1

    def _record(self, connection: sqlite3.Connection, writes: Sequence[Write], now: datetime) -> int:
        written = [write.path for write in writes if not isinstance(write, Check)]
        pairs = [(t.function, path) for path in written for t in self._triggers if matches(t.pattern, path)]
        for door, path in pairs:
            connection.execute(_OUTBOX, _row(door, "document", path, "{}", now))
        return len(pairs)

    def _wipe(self, writes: Sequence[Write]) -> None:
        """Empty the log where rule 3 says so; the commit has happened, so the next one repeats what fails here."""
        replaced = (write.path for write in writes if isinstance(write, (Replace, Amend, Delete)))
        if self.file.unwiped or any(path.partition("/")[0] not in PLAIN_ROOTS for path in replaced):
            with suppress(StoreError):
                self.file.checkpoint()


def _texts(writes: Sequence[Write], now: datetime | None) -> dict[str, str]:
    ready = [prepared(write, now) for write in writes]
    return {write.path: encode(write.data) for write in ready if isinstance(write, (Create, Replace, Amend))}


def _amendments(writes: Sequence[Write]) -> Iterator[tuple[str, Data]]:
    return ((write.path, frozen(write.data)) for write in writes if isinstance(write, Amend))


def _require(connection: sqlite3.Connection, writes: Sequence[Write], paths: list[str]) -> None:
    rows = connection.execute(_READ.replace(", data", ""), (json.dumps(paths),))
    found = {path: str(version) for path, version in rows}
    if not all(_holds(write, found.get(write.path)) for write in writes):
        raise LostRace("a document changed since it was read")


def _holds(write: Write, version: str | None) -> bool:
    if isinstance(write, Amend):
        return version is not None
    return version == (None if isinstance(write, Create) else write.version)


def _apply(connection: sqlite3.Connection, write: Write, version: int, texts: Mapping[str, str]) -> int:
    """Apply one write whose precondition holds; return how many versions it used."""
    path = write.path
    if isinstance(write, Create):
        collection = collection_of(path)
        connection.execute(_INSERT, (path, collection, shape(collection), version, texts[path]))
    elif isinstance(write, (Replace, Amend)):
        connection.execute(_UPDATE, (version, texts[path], path))
    elif isinstance(write, Delete):
        connection.execute("DELETE FROM documents WHERE path = ?", (path,))
    return int(path in texts)


def _row(door: str, kind: str, subject: str, attributes: str, now: datetime) -> tuple[str | int, ...]:
    return (uuid4().hex, door, kind, subject, attributes, micros(now), micros(now))
