"""One SQLite file of an embedded store: its connections, its transactions, and what is wiped from it.

1. Every write is one immediate transaction, synced before it counts; no read transaction outlives a call.
2. What is overwritten or deleted is zeroed in the file (`secure_delete`), never spilled or kept in a temporary file,
   and gone from the log after a truncating checkpoint.
3. What SQLite raises leaves as `StoreUnavailable`, or as `LostRace` where nobody knows whether a commit happened.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from keyturn.adapters.sqlite.schema import BUSY_SECONDS, connect, inspect, make, refusal
from keyturn.ports.store import LostRace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHECKPOINT_BUSY_MILLISECONDS = 50


class Wake(Event):
    """Set when a row was put in the outbox by this process; whoever delivers clears it."""


_WAKES: WeakValueDictionary[str, Wake] = WeakValueDictionary()
_WAKES_LOCK = Lock()


def wake_of(path: Path) -> Wake:
    """Return the one signal that all stores of this process share for the file at `path`."""
    with _WAKES_LOCK:
        return _WAKES.setdefault(os.path.realpath(path), Wake())


class SqliteFile:
    """One file, opened or made; any number of threads and processes may use it at once.

    `indexes` maps names to the statements that make them. `StoreUnavailable` for a file that is refused.
    """

    def __init__(self, path: Path, indexes: Mapping[str, str]) -> None:
        self.path = path
        self.wake = wake_of(path)
        self.unwiped = True
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        with _available(path):
            if not os.path.lexists(path):
                make(path)
            inspect(path)
        self._build(indexes)
        self.checkpoint()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one read transaction: all that it reads is of one instant."""
        with _available(self.path), self._lent() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one immediate transaction; an exception undoes it.

        What isn't `durable` survives the death of the process, but may be undone by the machine's. `LostRace` when the
        commit itself fails: whether it happened is then unknown.
        """
        with _available(self.path), self._lent() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                _commit(connection)
            except BaseException:
                _undo(connection)
                raise

    def data_version(self, connection: sqlite3.Connection) -> int:
        """Return a number that changes when another connection, of any process, wrote to the file."""
        with _available(self.path):
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def connect(self) -> sqlite3.Connection:
        """Open a connection of one's own; the caller closes it."""
        with _available(self.path):
            return connect(self.path)

    def checkpoint(self) -> bool:
        """Move the log into the file and truncate it; False while a reader or writer is in the way: repeat it."""
        # Cleared first and set again unless it is done: a commit in between must not be taken for wiped.
        self.unwiped, done = False, False
        try:
            with _available(self.path), self._lent() as connection:
                done = _truncate_log(connection)
        finally:
            self.unwiped = self.unwiped or not done
        return done

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
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
                # A connection must not cross a fork, not even to be closed: that would drop the parent's locks.
                _ABANDONED.extend(self._idle)
                self._idle, self._process = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return connect(self.path)

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._idle.append(connection)

    def _build(self, indexes: Mapping[str, str]) -> None:
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
        raise refusal(path, "does not answer or is no store's file") from error
    except sqlite3.DatabaseError as error:
        raise refusal(path, "is damaged or no store's file") from error
    except OSError as error:
        raise refusal(path, "can't be opened") from error


def _commit(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise LostRace("the outcome of the commit is unknown") from error


def _truncate_log(connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_BUSY_MILLISECONDS}")
    try:
        (blocked, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return not blocked


def _undo(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
