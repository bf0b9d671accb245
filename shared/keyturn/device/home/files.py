"""Reading and locking the files of a device's home (POSIX); `keyturn.private_files` writes them."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyturn.device.home.errors import BusyError, NotAHomeError, TooOpenError, UnreadableError
from keyturn.private_files import is_open_to_others, open_lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    if is_open_to_others(folder.stat()):
        raise TooOpenError


def read_private(path: Path) -> bytes | None:
    """Return a file's bytes, None if there is no such file; `TooOpenError` if others have any right on it."""
    try:
        with path.open("rb") as file:
            if is_open_to_others(os.fstat(file.fileno())):
                raise TooOpenError
            return file.read()
    except FileNotFoundError:
        return None


@contextmanager
def exclusive(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the lock on a file, made if missing.

    `BusyError` if it is not free within that time, `UnreadableError` if it can't be made. The operating system frees
    it when the process ends, however it ends.
    """
    with readable_failures():
        descriptor = open_lock_file(path)
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
