"""The Node process with the ts-mls members, and its packages exactly as the lock names them."""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.driver import Driver
from tests.interop.room import Room
from tests.tiers import not_run

HERE = Path(__file__).parent
LOCK = HERE / "package-lock.json"
INSTALLED = HERE / "node_modules" / ".installed-lock"
INSTALL_SECONDS = 300
OUT_OF_REACH = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")


@pytest.fixture(scope="session")
def packages() -> None:
    """Install what the lock names, unless it is there already."""
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes share the folder
        digest = hashlib.sha256(lock.read()).hexdigest()
        if not INSTALLED.is_file() or INSTALLED.read_text() != digest:
            install()
            INSTALLED.write_text(digest)


def install() -> None:
    """Run `npm ci`; without a registry the tier is not run, any other failure is one."""
    npm = shutil.which("npm") or "npm"
    done = subprocess.run(  # noqa: S603 - fixed words
        [npm, "ci", "--prefer-offline"], cwd=HERE, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode and any(code in done.stderr for code in OUT_OF_REACH):
        not_run("node", "the npm registry is out of reach")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def driver(packages: None) -> Iterator[Driver]:  # noqa: ARG001 - wanted for what it does
    with Driver(shutil.which("node") or "node") as started:
        yield started


@pytest.fixture
def room(driver: Driver) -> Room:
    return Room(driver)
