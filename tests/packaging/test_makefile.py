"""The commands of the Makefile that other programs read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.local.package import ROOT, archive

from tests.packaging.clones import clone

if TYPE_CHECKING:
    from collections.abc import Mapping


def make(folder: Path, target: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("make") or "make", "--no-print-directory", target]
    return subprocess.run(  # noqa: S603 - fixed words
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_make_package_in_a_fresh_clone_prints_the_path_of_the_archive_and_nothing_else(tmp_path: Path) -> None:
    done = make(clone(tmp_path / "clone"), "package", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert Path(line).read_bytes() == archive(ROOT)


def test_make_package_without_a_python_says_on_standard_error_what_it_requires(tmp_path: Path) -> None:
    done = make(clone(tmp_path / "clone"), "package", {"PATH": os.environ["PATH"], "PYTHON": ""})
    assert (done.returncode, done.stdout) == (2, "")
    assert "keyturn requires Python 3.11 or later" in done.stderr
