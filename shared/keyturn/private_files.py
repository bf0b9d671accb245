"""Files that only their owner may read (POSIX): the one place that creates, replaces and locks them.

1. A file has mode 0600 from the moment it exists. It is not created first and restricted afterwards.
2. A file is replaced whole: after a crash at any instant it has the old content or the new content.
3. A symbolic link is never followed when a file is created: an attacker with write access to the folder can't redirect
   a secret to another place.

This module imports nothing of keyturn, so the adapters, the device and the command line can all use it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_GROUP_AND_OTHERS = 0o077
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_FILE = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def create_private(path: Path, content: bytes) -> None:
    """Create a file with this content and sync it to disk. If that fails, no file remains.

    `FileExistsError` if the path exists, even as a dangling symbolic link. Any other failure is an `OSError`.
    """
    descriptor = os.open(path, _NEW_FILE, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), PRIVATE_FILE)  # the umask may have removed even the owner's rights
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace_private(path: Path, content: bytes) -> None:
    """Replace a file whole, or create it. Only one writer at a time: the caller holds a lock, or is alone.

    `OSError` if it can't be written. The file then still has its old content.
    """
    draft = draft_of(path)
    draft.unlink(missing_ok=True)  # a writer that died here may have left one, and its mode can't be trusted
    create_private(draft, content)
    draft.replace(path)
    sync_folder(path.parent)


def draft_of(path: Path) -> Path:
    """Return the path where the next content of a file is written before it replaces the file."""
    return path.with_name(path.name + ".new")


def sync_folder(folder: Path) -> None:
    """Sync a folder: a new or renamed file survives a power failure only when its folder is on disk too."""
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_lock_file(path: Path) -> int:
    """Return a descriptor of a lock file, which is created if it is missing. The caller closes the descriptor.

    Closing it, or the end of the process, releases the lock that `fcntl.flock` set on it.
    """
    return os.open(path, _LOCK_FILE, PRIVATE_FILE)


def is_open_to_others(status: os.stat_result) -> bool:
    """Return whether group or others have any right on a file or folder."""
    return bool(status.st_mode & _GROUP_AND_OTHERS)
