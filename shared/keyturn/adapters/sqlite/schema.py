"""Schema of an embedded store's file: how a file is created, and the checks before an existing one is used.

1. A new file gets its name only when it is complete. From the start only its owner may read it (mode 0600, which SQLite
   also gives to the log and the shared memory beside it).
2. A file that is damaged, written by a newer version or by another program is refused and left unchanged.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from keyturn.ports.store import StoreDamaged, StoreUnavailable
from keyturn.private_files import create_private, is_open_to_others, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6B79746E
"""Bytes 68 to 71 of the file (SQLite file format §1.3.14): "kytn"."""
BUSY_SECONDS = 10.0
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A full disk, a used up quota, and a limit of the process for the size of a file."""
_PROBE_BYTES = 64 * 1024
CLOCK_TABLE = """CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 1),
    boot TEXT NOT NULL, origin INTEGER NOT NULL)"""
"""At most one row: the anchor of the host's clock (host_clock.py). Files of earlier builds lack the table."""
_SCHEMA = (
    "PRAGMA journal_mode = WAL",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    "BEGIN IMMEDIATE",
    # One row: the highest version so far, and the latest commit time in microseconds since 1970.
    "CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, time INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (1, 0, 0)",
    CLOCK_TABLE,
    # `shape` is the collection's path with every id replaced by `*`: the partial indexes select by it.
    """CREATE TABLE documents (path TEXT PRIMARY KEY, collection TEXT NOT NULL, shape TEXT NOT NULL,
        version INTEGER NOT NULL, data TEXT NOT NULL)""",
    # A row without `due_at` is a dead letter. `door` is the function to call.
    """CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, door TEXT NOT NULL,
        kind TEXT NOT NULL, subject TEXT NOT NULL, attributes TEXT NOT NULL, published_at INTEGER NOT NULL,
        due_at INTEGER, leased INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT)""",
    "CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX outbox_dead ON outbox (seq) WHERE due_at IS NULL",
    "COMMIT",
)


def unusable(path: Path, why: str) -> StoreUnavailable:
    """Return an error that says why a file cannot be used. It names the file without its folder."""
    return StoreUnavailable(f"{path.name} {why}")


def damaged(path: Path) -> StoreDamaged:
    """Return the error for a file that is damaged."""
    return StoreDamaged(f"{path.name} is damaged, or is not a keyturn store")


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Open a connection that leaves no copies of old content on disk.

    It zeroes freed pages, does not spill its cache, and keeps temporary tables in memory.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for setting in ("secure_delete = ON", "temp_store = MEMORY", "cache_spill = OFF"):
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_alone(path: Path) -> sqlite3.Connection:
    """Open a connection that needs no shared memory beside the file, and so no space. No other may be open meanwhile.

    It is for a full disk: SQLite keeps the index of the log in its own memory then (https://sqlite.org/wal.html §6).
    """
    connection = connect(path)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first access to the file
    return connection


def is_full(error: sqlite3.Error, path: Path) -> bool:
    """Return whether an error of SQLite about the file at `path` means that there is no space for it."""
    code = getattr(error, "sqlite_errorcode", 0)
    # SHMSIZE: there was no space for the shared memory file, which the first connection creates. SQLite calls a disk
    # full only where the system says ENOSPC. A quota or a limit of the process is an error of writing for it.
    full = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
    return code in full or (code == sqlite3.SQLITE_IOERR_WRITE and lacks_space(path.parent))


def lacks_space(folder: Path) -> bool:
    """Return whether a small file cannot be written to a folder because there is no space for it."""
    probe = folder / f".space.{secrets.token_hex(8)}"
    try:
        create_private(probe, bytes(_PROBE_BYTES))
        probe.unlink()
    except OSError as error:
        return error.errno in NO_SPACE
    return False


def create_file(path: Path) -> None:
    """Create the file under a temporary name and link it to `path` when complete.

    If two processes do so at once, both use the file that was linked first.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _build_draft(draft)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _build_draft(draft: Path) -> None:
    create_private(draft, b"")  # before SQLite opens it: SQLite gives its files the rights that the umask leaves
    connection = connect(draft)
    try:
        for statement in _SCHEMA:
            connection.execute(statement)
    finally:
        connection.close()


def check_file(path: Path) -> None:
    """Raise `StoreUnavailable` if the file is not an intact keyturn store. Changes nothing.

    Only SQLite may open the file: POSIX drops all of a process's locks on a file when it closes any descriptor of it.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise unusable(path, "is not a regular file")
    if is_open_to_others(status):
        raise unusable(path, "may be read by other users, its mode must be 0600")
    try:
        with closing(connect(path, "ro")) as connection:
            _check_content(path, connection)
    except sqlite3.OperationalError as error:
        if not is_full(error, path):
            raise
        with closing(connect_alone(path)) as connection:
            _check_content(path, connection)


def _check_content(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise unusable(path, "is not a keyturn store")
    if connection.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION:
        raise unusable(path, "was written by a newer version of this program")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise damaged(path)
