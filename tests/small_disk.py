"""A small file system of its own, which a test can fill. To mount one is a right that not every user has."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a private tmpfs of `size` (`2m`) on a folder while the context lasts. `OSError` if that is refused."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True)  # noqa: S603 - constant words
    if done.returncode:
        raise OSError(done.returncode, "the mount was refused")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607 - constant words
