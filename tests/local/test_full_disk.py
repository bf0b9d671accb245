"""`keyturn up` on a full disk checks credentials, and goes on when there is space. It starts on a full disk, too."""

from __future__ import annotations

import os
import resource
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from keyturn.device.api.client import ApiClient
from keyturn.device.core.errors import ServerRefusedError
from keyturn.local.doctor import diagnose, open_folder

from tests.local.real_machine import Machine
from tests.local.waiting import until
from tests.small_disk import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyturn.device.device import Device

LIMIT_BYTES = 8192
"""Less than the shared memory file of SQLite, which is created at the start."""


@dataclass
class SmallDisk:
    """A file system of 6 MB under the data folder."""

    machine: Machine

    def fill(self) -> None:
        with suppress(OSError), (self.machine.data / "fill").open("ab", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass

    def free(self) -> None:
        (self.machine.data / "fill").unlink()


@dataclass
class FileLimit:
    """A limit of the process for the size of its files: every user may set it, unlike a file system."""

    machine: Machine

    def fill(self) -> None:
        self._limit(LIMIT_BYTES)
        self.machine.prefix = ["/bin/sh", "-c", f'ulimit -S -f {LIMIT_BYTES // 512}; exec "$0" "$@"']

    def free(self) -> None:
        self._limit(resource.RLIM_INFINITY)
        self.machine.prefix = ()

    def _limit(self, size: int) -> None:
        process = self.machine.process
        assert process is not None
        if process.poll() is None:
            _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, most))


@pytest.fixture(params=[pytest.param(SmallDisk, marks=pytest.mark.tier("mount")), FileLimit])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk | FileLimit]:
    machine = Machine(tmp_path)
    machine.data.mkdir(mode=0o700)
    with mounted(machine.data, "6m") if request.param is SmallDisk else nullcontext():
        machine.start()
        machine.wait_until_up()
        yield request.param(machine)
        machine.end()


def rotate(alice: Device, bob: Device) -> str:
    rotation_id = str(alice.rotate("acme", "it is time", supersede=True)["rotation_id"])

    def received() -> str | None:
        bob.catch_up()
        return next((item.secret for item in bob.inbox() if item.rotation_id == rotation_id), None)

    secret = until(received)
    bob.ack(rotation_id)
    return secret


def assert_reads_only(space: SmallDisk | FileLimit, secret: str) -> None:
    machine = space.machine
    server = ApiClient(machine.url, sleep=lambda _seconds: None)
    assert server.check("acme", secret)["accepted"]
    assert not server.check("acme", "A" * 43)["accepted"]
    with pytest.raises(ServerRefusedError) as refused:
        use_up(space)
    assert (refused.value.status, refused.value.reason) == (503, "disk_full")


def use_up(space: SmallDisk | FileLimit) -> None:
    """Write until it is refused: the store may have some space left in its files."""
    for number in range(100):
        add_group(space.machine, f"more-{number}-{os.urandom(4).hex()}")
        space.fill()


def add_group(machine: Machine, group_id: str) -> object:
    return machine.operator("/groups", {"group_id": group_id})["group_id"]


def log(machine: Machine) -> str:
    return (machine.folder / "up.log").read_text()


def test_full_disk_while_running_and_at_the_start(space: SmallDisk | FileLimit) -> None:
    machine = space.machine
    machine.operator("/groups", {"group_id": "ops"})
    machine.operator("/clients", {"client_id": "acme", "groups": ["ops"], "policy": {"quorum": 1}})
    alice, bob = (machine.device(name, "ops") for name in ("alice", "bob"))
    secret = rotate(alice, bob)

    space.fill()
    assert_reads_only(space, secret)
    assert "the disk is full: nothing can be written until there is space again" in log(machine)

    for end in (machine.stop, machine.kill):
        end()
        (machine.folder / "up.log").unlink()
        if isinstance(space, SmallDisk):
            space.fill()  # what SQLite has released when it closed its files
        machine.start()
        machine.wait_until_up()
        assert_reads_only(space, secret)
        assert "the disk is full: credentials are checked, and nothing can be written" in log(machine)
        assert "The disk of the data folder is full." in log(machine)

    space.free()
    assert add_group(machine, "more") == "more"
    newer = rotate(alice, bob)
    assert ApiClient(machine.url).check("acme", newer)["accepted"]
    assert machine.stop() == 0
    assert not diagnose(open_folder(machine.data)).breaches
