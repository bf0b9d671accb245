"""One SQLite file of an embedded store: its connections and transactions, and how old content is erased from it.

1. Every write is one immediate transaction, synced before it counts as done. No read transaction outlives a call.
2. Overwritten and deleted content is zeroed in the file (`secure_delete`). It is never spilled to disk or written to a
   temporary file, and a truncating checkpoint removes it from the write-ahead log.
3. SQLite's errors leave as `StoreUnavailable`, or as `LostRace` if the outcome of a commit is unknown. A full disk
   is `StoreFull`: SQLite could not write the commit to its log, so the transaction is rolled back and has no effect.
4. A full disk stops no reading. Where there is no space for the shared memory file, each read opens a connection that
   needs none, and waits for its turn. The next read tries the usual way again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from threading import Event, Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from keyturn.adapters.sqlite.schema import (
    BUSY_SECONDS,
    CLOCK_TABLE,
    NO_SPACE,
    check_file,
    connect,
    connect_alone,
    create_file,
    damaged,
    is_full,
    unusable,
)
from keyturn.ports.store import LostRace, StoreFull

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHECKPOINT_BUSY_MILLISECONDS = 50


class WakeSignal(Event):
    """Set when this process adds a row to the outbox. The delivery loop clears it."""


_SIGNALS: WeakValueDictionary[str, WakeSignal] = WeakValueDictionary()
_SIGNALS_LOCK = Lock()


def wake_signal(path: Path) -> WakeSignal:
    """Return the signal for the file at `path`, shared by all stores of this process."""
    with _SIGNALS_LOCK:
        return _SIGNALS.setdefault(os.path.realpath(path), WakeSignal())


class SqliteFile:
    """One file, opened or created. Any number of threads and processes may use it at once.

    `indexes` maps index names to their CREATE statements. `StoreUnavailable` if the file is refused.
    """

    def __init__(self, path: Path, indexes: Mapping[str, str]) -> None:
        self.path = path
        self.wake = wake_signal(path)
        self.needs_checkpoint = True
        self._lock = Lock()
        self._lone_reader = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        with _available(path):
            if not os.path.lexists(path):
                create_file(path)
            check_file(path)
        self._create_clock_table()
        self._create_indexes(indexes)
        with suppress(StoreFull):  # reading still works, and `needs_checkpoint` stays set
            self.checkpoint()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Provide a connection in one read transaction, so that all reads see the same state."""
        with _available(self.path), self._reader() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if self._has_shared_memory():
            with self._connection() as connection:
                yield connection
        else:
            with self._lone_reader, closing(connect_alone(self.path)) as connection:
                yield connection

    def _has_shared_memory(self) -> bool:
        """Open the first connection if there is none. Return False if there was no space for its shared memory."""
        try:
            self._put_back(self._take())
        except sqlite3.OperationalError as error:
            if is_full(error, self.path):
                return False
            raise
        return True

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Provide a connection in one immediate transaction. An exception rolls it back.

        A transaction that is not `durable` survives a crash of the process, but a crash of the machine may undo it.
        `LostRace` if the commit itself fails, because its outcome is then unknown. `StoreFull` if the disk is full.
        """
        with _available(self.path), self._connection() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                _commit(connection, self.path)
            except BaseException:
                _roll_back(connection)
                raise

    def data_version(self, connection: sqlite3.Connection) -> int:
        """Return a number that changes when another connection, of any process, has written to the file."""
        with _available(self.path):
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def connect(self) -> sqlite3.Connection:
        """Open a connection that the caller closes."""
        with _available(self.path):
            return connect(self.path)

    def checkpoint(self) -> bool:
        """Move the log into the file and truncate it. False if a reader or writer blocks it: call again later."""
        # Clear the flag first and set it again on failure. A commit in between sets it too, and must not be missed.
        self.needs_checkpoint, complete = False, False
        try:
            with _available(self.path), self._connection() as connection:
                complete = _truncate_log(connection)
        finally:
            self.needs_checkpoint = self.needs_checkpoint or not complete
        return complete

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._put_back(connection)
            raise
        else:
            self._put_back(connection)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._process != os.getpid():
                # A connection must not cross a fork ("How To Corrupt An SQLite Database File" §2.6). Even closing it
                # would drop the parent's locks.
                _ABANDONED.extend(self._idle)
                self._idle, self._process = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        connection = connect(self.path)
        try:
            connection.execute("PRAGMA schema_version")  # the first access opens log and shared memory
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._idle.append(connection)

    def _create_clock_table(self) -> None:
        with self.reading() as connection:
            (count,) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'clock'").fetchone()
        if not count:
            with self.writing() as connection:
                connection.execute(CLOCK_TABLE)

    def _create_indexes(self, indexes: Mapping[str, str]) -> None:
        with self.reading() as connection:
            present = {row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'index'")}
        missing = {name: statement for name, statement in indexes.items() if statement not in present}
        if missing:
            with self.writing() as connection:
                for name, statement in missing.items():
                    connection.execute(f"DROP INDEX IF EXISTS {name}")
                    connection.execute(statement)


_ABANDONED: list[sqlite3.Connection] = []


@contextmanager
def _available(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if is_full(error, path):
            raise StoreFull(f"the disk of {path.name} is full") from error
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes have the primary one in this byte
        raise unusable(path, _CAUSES.get(primary, "is not a keyturn store")) from error
    except sqlite3.DatabaseError as error:
        raise damaged(path) from error
    except PermissionError as error:
        raise unusable(path, _FORBIDDEN) from error
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreFull(f"the disk of {path.name} is full") from error
        raise unusable(path, "can't be opened") from error


_FORBIDDEN = "may not be read or written by this process's user"
_CAUSES = {
    sqlite3.SQLITE_CANTOPEN: _FORBIDDEN,
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_IOERR: "can't be read or written: the disk reports an error",
}


def _commit(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if is_full(error, path):
            raise
        raise LostRace("the outcome of the commit is unknown") from error


def _truncate_log(connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_BUSY_MILLISECONDS}")
    try:
        (blocked, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return not blocked


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
