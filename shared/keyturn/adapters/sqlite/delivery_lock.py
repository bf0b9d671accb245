"""Attendance: which processes deliver from an embedded store's outbox, known by a lock that dies with its process.

1. Whoever delivers holds the lock shared, and takes it before the first lease.
2. Whoever can have it alone knows that nobody delivers: each lease in the file is of a process that died.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyturn.ports.store import StoreUnavailable
from keyturn.private_files import open_lock_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def hold_delivery_lock(path: Path, when_alone: Callable[[], object]) -> Iterator[None]:
    """Attend to the lock file at `path` (made 0600) while the context lasts; first `when_alone()` if nobody else does.

    `StoreUnavailable` if the file can't be opened.
    """
    try:
        descriptor = open_lock_file(path)
    except OSError:
        raise StoreUnavailable(f"{path.name} can't be opened") from None
    try:
        if _taken_alone(descriptor):
            when_alone()
        # Not atomic from alone to shared, and need not be: nobody who gets in between finds a lease of ours.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _taken_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
