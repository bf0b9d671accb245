"""The embedded store, used by default: one SQLite file for many threads and processes, with atomic commits.

1. One commit is one immediate transaction. It checks preconditions, writes documents, and adds an outbox row for each
   written document that matches a trigger. So no trigger is lost, and none fires for a write that did not happen.
2. Versions come from one counter in the file, which only rises.
3. A commit that overwrites or deletes a document outside `PLAIN_ROOTS` truncates the log, so that no byte of the file
   still holds an old MLS state (RFC 9420 §9.2: forward secrecy depends on deletion).
4. The age of a basis is checked inside of the transaction, last right before its end, by two clocks: the store's time
   and the time since the boot. What freezes after that is noticed after the commit, and logged as an error.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import (
    EMBEDDED_LONGEST_COMMIT,
    LATE_COMMIT,
    check_age,
    collection_of,
    distinct_paths,
    document_path,
    freeze,
    freeze_write,
    from_micros,
    matches,
    micros,
    shape,
    steady_time,
)
from keyturn.adapters.sqlite.document_json import decode, encode
from keyturn.adapters.sqlite.file import SqliteFile
from keyturn.adapters.sqlite.host_clock import HOST, Anchor, HostClock
from keyturn.adapters.sqlite.query import create_index, page_statement
from keyturn.adapters.sqlite.schema import unusable
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
    from datetime import datetime, timedelta
    from pathlib import Path

    from keyturn.ports.effects import Random
    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Data, Query, Write
    from keyturn.ports.triggers import Trigger

_log = logging.getLogger(__name__)

PLAIN_ROOTS = frozenset({"oauth2_clients", "audit_heads", "oauth2_rotations", "rates"})
"""Old states of these collections may stay in the log, as they hold only hashes, public keys and times."""

_READ = "SELECT path, version, data FROM documents WHERE path IN (SELECT value FROM json_each(?))"
_COUNTER = "SELECT version, time, boot, origin FROM counter LEFT JOIN clock ON clock.id = 1"
_ANCHOR = "INSERT OR REPLACE INTO clock (id, boot, origin) VALUES (1, ?, ?)"
_INSERT = "INSERT INTO documents (path, collection, shape, version, data) VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE documents SET version = ?, data = ? WHERE path = ?"
_OUTBOX = (
    "INSERT INTO outbox (event_id, door, kind, subject, attributes, published_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class SqliteStore:
    """Implements `keyturn.ports.store.Store` over the file at `path`, which is created (0600) if it does not exist.

    `triggers` say which written documents call which function. `host` gives the time. If it goes back by less than a
    minute, the store's times do not. A `clock` in its place returns aware UTC, and is followed at each step.
    """

    def __init__(
        self,
        path: Path,
        *,
        triggers: Sequence[Trigger] = (),
        indexes: Sequence[Index] = INDEXES,
        host: HostClock = HOST,
        clock: Callable[[], datetime] | None = None,
        random: Random = os.urandom,
    ) -> None:
        self._indexes = tuple(indexes)
        self._triggers = tuple(triggers)
        self._host = HostClock.following(clock) if clock else host
        self._random = random
        self._last = from_micros(0)
        self.file = SqliteFile(path, dict(create_index(index) for index in self._indexes))
        with self.file.reading() as connection:
            self._read_counter(connection)  # before the first time is taken, so that the host's clock knows the anchor

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents in one consistent state."""
        paths = [document_path(path) for path in paths]
        asked_at, now = self._host.elapsed(), self._host.now()
        with self.file.reading() as connection:
            _, last, _ = self._read_counter(connection)
            rows = connection.execute(_READ, (json.dumps(paths),)).fetchall()
        documents = {path: Document(path, None, None) for path in paths} | {row[0]: self._document(row) for row in rows}
        read_time, is_certain = self._steady(now, last), self._host.is_certain()
        return Snapshot(MappingProxyType(documents), read_time, asked_at, is_time_certain=is_certain)

    def _new_id(self) -> str:
        return self._random(16).hex()

    @property
    def longest_commit(self) -> timedelta:
        """The longest time from the read of a basis to its commit."""
        return EMBEDDED_LONGEST_COMMIT

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Apply all writes and return the commit time, or apply none and raise `LostRace`."""
        paths = distinct_paths(writes)
        texts = _texts(writes, None)
        with self.file.writing() as connection:
            _check_preconditions(connection, writes, paths)
            now, version = self._advance(connection, len(texts))
            check_age(basis, now, self._host.elapsed())
            texts |= _texts([write for write in writes if getattr(write, "stamped", None)], now)
            texts |= {path: self._merge(connection, path, data) for path, data in _amendments(writes)}
            for write in writes:
                version += _apply(connection, write, version, texts)
            outbox_rows = self._add_events(connection, writes, now)
            check_age(basis, self._host.now(), self._host.elapsed())
        self._report_if_late(basis)
        self._truncate_log(writes)
        if outbox_rows:
            self.file.wake.set()  # last, because a claim during the checkpoint would make both wait
        return now

    def _report_if_late(self, basis: Snapshot | None) -> None:
        try:
            check_age(basis, self._host.now(), self._host.elapsed())
        except LostRace:
            _log.error(LATE_COMMIT)

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page of a declared index. StoreError("undeclared index") if no index covers the query."""
        statement, values = page_statement(query, self._indexes)
        with self.file.reading() as connection:
            rows = connection.execute(statement, values).fetchall()
        return tuple(self._document(row) for row in rows)

    def publish(self, messages: Sequence[tuple[str, str, Mapping[str, str]]]) -> None:
        """Add messages (function, topic, attributes) to the outbox. The embedded bus uses this."""
        with self.file.writing() as connection:
            now, _ = self._advance(connection, 0)
            for function, topic, attributes in messages:
                text = json.dumps(dict(attributes))
                connection.execute(_OUTBOX, _row(self._new_id(), function, "topic", topic, text, now))
        self.file.wake.set()

    def checkpoint(self) -> bool:
        """Truncate the log. False if a reader blocks it. The sweeper then repeats it."""
        return self.file.checkpoint()

    def highest_version(self) -> int:
        """Return the highest version so far. If it is lower than once seen, the file is an older copy."""
        with self.file.reading() as connection:
            return int(connection.execute("SELECT version FROM counter").fetchone()[0])

    def close(self) -> None:
        """Close all idle connections."""
        self.file.close()

    def _document(self, row: tuple[str, int, str]) -> Document:
        path, version, text = row
        with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return Document(path, decode(text), str(version))
        raise unusable(self.file.path, "is damaged, a document can't be read")

    def _merge(self, connection: sqlite3.Connection, path: str, data: Data) -> str:
        (row,) = connection.execute(_READ, (json.dumps([path]),)).fetchall()
        return encode({**(self._document(row).data or {}), **data})

    def _steady(self, now: datetime, last: datetime) -> datetime:
        self._last = steady_time(steady_time(now, last), self._last)
        return self._last

    def _advance(self, connection: sqlite3.Connection, versions: int) -> tuple[datetime, int]:
        """Advance the file's counter and time. Return the commit time and the first of the new versions."""
        version, last, kept = self._read_counter(connection)
        now = self._steady(self._host.now(), last)
        self._keep_anchor(connection, kept)
        connection.execute("UPDATE counter SET version = ?, time = ?", (version + versions, micros(now)))
        return now, version + 1

    def _read_counter(self, connection: sqlite3.Connection) -> tuple[int, datetime, Anchor | None]:
        """Return the highest version, the last commit time, and the anchor of the host's clock, which learns of it."""
        version, last, boot, origin = connection.execute(_COUNTER).fetchone()
        anchor = Anchor(boot, from_micros(origin)) if boot is not None else None
        self._host.note(anchor, is_new=version == 0)
        return version, from_micros(last), anchor

    def _keep_anchor(self, connection: sqlite3.Connection, kept: Anchor | None) -> None:
        """Write the host's anchor if the file keeps another one."""
        anchor = self._host.anchor()
        if anchor is not None and not (kept and kept.is_near(anchor)):
            connection.execute(_ANCHOR, (anchor.boot, micros(anchor.origin)))

    def _add_events(self, connection: sqlite3.Connection, writes: Sequence[Write], now: datetime) -> int:
        written = [write.path for write in writes if not isinstance(write, Check)]
        pairs = [(t.function, path) for path in written for t in self._triggers if matches(t.pattern, path)]
        for function, path in pairs:
            connection.execute(_OUTBOX, _row(self._new_id(), function, "document", path, "{}", now))
        return len(pairs)

    def _truncate_log(self, writes: Sequence[Write]) -> None:
        """Truncate the log where rule 3 requires it."""
        replaced_paths = (write.path for write in writes if isinstance(write, (Replace, Amend, Delete)))
        if self.file.needs_checkpoint or any(path.partition("/")[0] not in PLAIN_ROOTS for path in replaced_paths):
            # The commit has happened, so this must not fail it. `needs_checkpoint` makes the next commit try again.
            with suppress(StoreError):
                self.file.checkpoint()


def _texts(writes: Sequence[Write], now: datetime | None) -> dict[str, str]:
    frozen_writes = [freeze_write(write, now) for write in writes]
    return {write.path: encode(write.data) for write in frozen_writes if isinstance(write, (Create, Replace, Amend))}


def _amendments(writes: Sequence[Write]) -> Iterator[tuple[str, Data]]:
    return ((write.path, freeze(write.data)) for write in writes if isinstance(write, Amend))


def _check_preconditions(connection: sqlite3.Connection, writes: Sequence[Write], paths: list[str]) -> None:
    rows = connection.execute(_READ.replace(", data", ""), (json.dumps(paths),))
    versions = {path: str(version) for path, version in rows}
    if not all(_holds(write, versions.get(write.path)) for write in writes):
        raise LostRace("a document changed since it was read")


def _holds(write: Write, version: str | None) -> bool:
    if isinstance(write, Amend):
        return version is not None
    return version == (None if isinstance(write, Create) else write.version)


def _apply(connection: sqlite3.Connection, write: Write, version: int, texts: Mapping[str, str]) -> int:
    """Apply one write after its precondition was checked. Return how many versions it used (0 or 1)."""
    path = write.path
    if isinstance(write, Create):
        collection = collection_of(path)
        connection.execute(_INSERT, (path, collection, shape(collection), version, texts[path]))
    elif isinstance(write, (Replace, Amend)):
        connection.execute(_UPDATE, (version, texts[path], path))
    elif isinstance(write, Delete):
        connection.execute("DELETE FROM documents WHERE path = ?", (path,))
    return int(path in texts)


def _row(
    event_id: str, function: str, kind: str, subject: str, attributes: str, now: datetime
) -> tuple[str | int, ...]:
    return (event_id, function, kind, subject, attributes, micros(now), micros(now))
