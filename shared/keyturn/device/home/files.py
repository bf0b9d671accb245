"""The files of a device's home: private to their owner, replaced whole, one command at a time (POSIX)."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyturn.device.home.errors import BusyError, NotAHomeError, TooOpenError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIVATE_FILE = 0o600
_OTHERS = 0o077
_POLL_SECONDS = 0.02


@contextmanager
def readable_failures() -> Iterator[None]:
    """Turn what the operating system refuses into `UnreadableError`, without the path in its text."""
    try:
        yield
    except OSError:
        raise UnreadableError from None


def check_folder(folder: Path) -> None:
    """Raise `NotAHomeError` without such a folder, `TooOpenError` unless it is its owner's alone."""
    if not folder.is_dir():
        raise NotAHomeError
    if folder.stat().st_mode & _OTHERS:
        raise TooOpenError


def read_private(path: Path) -> bytes | None:
    """Return a file's bytes, None if there is no such file; `TooOpenError` if others have any right on it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise TooOpenError
            return file.read()
    except FileNotFoundError:
        return None


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file whole: a crash at any instant leaves the old bytes or the new ones. One writer at a time."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)  # what a crashed writer left; its mode is not ours to trust
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # The rename itself is on disk only once the folder is.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock on a file, made if missing.

    `BusyError` if it is not free within that time, `UnreadableError` if it can't be made. The operating system frees
    it when the process ends, however it ends.
    """
    with readable_failures():
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _PRIVATE_FILE)
    try:
        _acquire(descriptor, time.monotonic() + wait_seconds)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError from None
            time.sleep(_POLL_SECONDS)
        else:
            return
