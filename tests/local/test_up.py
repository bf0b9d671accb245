"""`keyturn up` says why it does not start, and changes nothing then."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.local.real_machine import ROOT, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "from keyturn.cli.main import main; main()"


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Machine]:
    """Give a machine that ran once, so that there is something to change."""
    machine = Machine(tmp_path)
    machine.start()
    machine.wait_until_up()
    machine.operator("/groups", {"group_id": "ops"})
    machine.stop()
    yield machine
    machine.end()


def up(machine: Machine, *options: str) -> subprocess.CompletedProcess[str]:
    words = ["up", "--port", str(machine.port), "--data", str(machine.data), *options]
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env=dict(machine.environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_lost_output_ends_it_with_a_sentence(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    words = [sys.executable, "-c", PROGRAM, "up", "--port", str(machine.port), "--data", str(machine.data)]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(  # noqa: S603 - our own program
            words, cwd=ROOT, env=dict(machine.environment), stdout=full, stderr=-1, text=True, timeout=30, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: The output can't be written: the disk is full.\n")


def test_a_state_folder_that_can_not_be_written_is_named(stopped: Machine) -> None:
    before = content(stopped.data)
    stopped.variables = {"XDG_STATE_HOME": "/dev/null"}
    done = up(stopped)
    assert done.returncode == 1
    assert "error: The state folder can't be written." in done.stderr
    assert "XDG_STATE_HOME" in done.stderr
    assert content(stopped.data) == before


def content(folder: Path) -> dict[str, bytes]:
    # SQLite itself may leave an empty log and its shared memory beside a file that it looked at.
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(("-shm", "-wal"))}


def test_a_port_in_use_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", machine.port))
        taken.listen()
        done = up(machine)
    assert done.returncode == 1
    assert f"error: Port {machine.port} is in use." in done.stderr
    assert "hint: " in done.stderr
    assert not machine.data.exists()


def test_a_folder_of_a_newer_version_is_named_and_nothing_is_changed(stopped: Machine) -> None:
    with closing(sqlite3.connect(stopped.data / "control.db")) as newer:
        newer.execute("PRAGMA user_version = 999")
        newer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = content(stopped.data)
    done = up(stopped)
    assert done.returncode == 1
    assert "control.db" in done.stderr
    assert "newer" in done.stderr
    assert content(stopped.data) == before


FILES = {
    "control.db": "control.db",
    "auth.db": "auth.db",
    "usage.db": "usage.db",
    "keys.json": "the key file is damaged",
    "placement.json": "placement.json is damaged",
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_nothing_is_changed(stopped: Machine, name: str) -> None:
    (stopped.data / name).write_bytes(b"no longer what it was" * 300)
    before = content(stopped.data)
    done = up(stopped)
    assert done.returncode == 1
    assert FILES[name] in done.stderr
    assert "hint: " in done.stderr
    assert content(stopped.data) == before


def test_missing_keys_beside_a_store_are_no_reason_for_new_ones(stopped: Machine) -> None:
    (stopped.data / "keys.json").unlink()
    done = up(stopped)
    assert done.returncode == 1
    assert "keys.json is missing" in done.stderr
    assert not (stopped.data / "keys.json").exists()


def test_an_untouched_folder_starts_again(stopped: Machine) -> None:
    stopped.start()
    stopped.wait_until_up()
    assert stopped.stop() == 0
