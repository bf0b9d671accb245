"""A fresh clone of the repository, as a user has it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from keyturn.local.package import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def clone(folder: Path) -> Path:
    """Copy what the repository tracks, as a fresh clone has it."""
    git, tar = (shutil.which(name) or name for name in ("git", "tar"))
    names = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603 - fixed words
    present = b"\0".join(name for name in names.split(b"\0") if (ROOT / name.decode()).is_file())
    packed = subprocess.run(  # noqa: S603 - fixed words
        [tar, "-c", "--null", "-T", "-"], cwd=ROOT, input=present, check=True, capture_output=True
    )
    folder.mkdir()
    subprocess.run([tar, "-x"], cwd=folder, input=packed.stdout, check=True)  # noqa: S603 - fixed words
    return folder
