"""The birth of an embedded store's file, and what is looked at before one is used.

1. A file is complete before it has its name, and nobody but its owner may read it from birth on (0600; SQLite gives
   the log and the shared memory beside it the same mode).
2. A file that isn't ours, is damaged or of a newer version is refused and not changed.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from keyturn.ports.store import StoreUnavailable
from keyturn.private_files import create_private, is_open_to_others, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6B79746E
"""Bytes 68 to 71 of the file: "kytn"."""
BUSY_SECONDS = 10.0
_SCHEMA = f"""\
PRAGMA journal_mode = WAL;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
BEGIN IMMEDIATE;
CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, time INTEGER NOT NULL);
INSERT INTO counter VALUES (1, 0, 0);
CREATE TABLE documents (path TEXT PRIMARY KEY, collection TEXT NOT NULL, shape TEXT NOT NULL, version INTEGER NOT NULL,
    data TEXT NOT NULL);
CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, door TEXT NOT NULL,
    kind TEXT NOT NULL, subject TEXT NOT NULL, attributes TEXT NOT NULL, published_at INTEGER NOT NULL,
    due_at INTEGER, leased INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_dead ON outbox (seq) WHERE due_at IS NULL;
COMMIT;
"""  # noqa: S608 - two numbers of ours


def refusal(path: Path, why: str) -> StoreUnavailable:
    """Return the error that names a file, without its folder, and says what is the matter with it."""
    return StoreUnavailable(f"{path.name} {why}")


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Open a connection that leaves no copies: zeroes what it frees, spills nothing, keeps no temporary file."""
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


def make(path: Path) -> None:
    """Build the file under another name and give it its own when complete; whoever is second uses the first's."""
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
        connection.executescript(_SCHEMA)
    finally:
        connection.close()


def inspect(path: Path) -> None:
    """Raise `StoreUnavailable` for a file that isn't ours, changing nothing.

    Only SQLite opens it: to close another descriptor of the file would drop the locks that this process has on it.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise refusal(path, "is no regular file")
    if is_open_to_others(status):
        raise refusal(path, "may be read by others: its mode must be 0600")
    connection = connect(path, "ro")
    try:
        _inspect_content(path, connection)
    finally:
        connection.close()


def _inspect_content(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise refusal(path, "is no store's file")
    if connection.execute("PRAGMA user_version").fetchone()[0] > SCHEMA_VERSION:
        raise refusal(path, "is of a newer version than this program")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise refusal(path, "is damaged")
