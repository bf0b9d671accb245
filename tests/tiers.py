"""Tiers: tests that need a program which not every machine has. Each test runs, or is reported by name as not run.

A test (or a module, by `pytestmark`) says `pytest.mark.tier("node")`; the root conftest asks `require` before it and
counts for the summary. Where REQUIRE_EMULATORS=1 is set, as in CI, a tier that cannot run fails, unless it needs a
right.
"""

import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest
from keyturn.local.emulators import firestore_jar, java_program, pubsub_jar
from keyturn.local.errors import LocalError

from tests.small_disk import mounted

PROGRAMS = {
    "node": ("node", "npm"),
    "java": ("java",),
    "curl": ("curl",),
    "nginx": ("nginx",),
    "mount": ("mount", "umount"),
}
"""Tier `java` is Google's emulators: they need the Google Cloud CLI's jars besides. Tier `mount` also needs a right."""


def require(tier: str) -> None:
    """Go on if what a tier needs is on this machine; otherwise end the test as `not_run` does."""
    if not all(map(shutil.which, PROGRAMS[tier])):
        not_run(tier, f"no {tier} on this machine")
    if tier == "java":
        _require_emulators()
    if tier == "mount" and not may_mount():
        # A right cannot be installed. It is reported, and not required.
        not_run(tier, "this user may not mount a file system", is_required=False)


@functools.cache
def may_mount() -> bool:
    """Return whether this user may mount a file system."""
    try:
        with tempfile.TemporaryDirectory() as folder, mounted(Path(folder), "1m"):
            return True
    except OSError:
        return False


def require_emulators() -> None:
    """Return if everything that Google's emulators need is on this machine; `LocalError` names what is missing."""
    java_program()
    firestore_jar()
    pubsub_jar()


def _require_emulators() -> None:
    try:
        require_emulators()
    except LocalError as error:
        not_run("java", str(error).rstrip("."))


def not_run(tier: str, reason: str, *, is_required: bool = True) -> NoReturn:
    """Skip the test, saying so; fail it instead where all tiers are required."""
    text = f"tier {tier}: not run ({reason})"
    if os.environ.get("REQUIRE_EMULATORS") == "1" and is_required:
        pytest.fail(text)
    pytest.skip(text)
