"""The delivery lock: which processes deliver from an embedded store's outbox. It ends with the process that holds it.

1. A process takes the lock shared before its first lease and holds it while it delivers.
2. A process that can get the lock exclusively knows that no other process delivers. Every lease that it finds in the
   file then belongs to a process that died.
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
    """Hold the lock file at `path` (created with mode 0600) while the context lasts.

    Calls `when_alone()` first if no other process holds the lock. `StoreUnavailable` if the file can't be opened.
    """
    try:
        descriptor = open_lock_file(path)
    except OSError:
        raise StoreUnavailable(f"{path.name} can't be opened") from None
    try:
        if _lock_exclusively(descriptor):
            when_alone()
        # flock(2) does not convert a lock atomically. That is harmless here: this process has no lease yet, so another
        # one that gets the exclusive lock in between releases nothing of ours.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _lock_exclusively(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
