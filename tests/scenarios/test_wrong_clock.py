"""The whole suite on a machine whose clock jumps for a moment, or is wrong after a boot: no grace window ends by it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.sqlite.host_clock import LASTING_SECONDS, HostClock
from keyturn.adapters.sqlite.store import SqliteStore

from tests.world import CLIENT, START, WatchedStore, World

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


class Machine(World):
    """A deployment on SQLite. `world.clock` has the true time, and the host's clock is wrong by `error`."""

    error = timedelta(0)
    boot = "first"
    booted_at = START - HOUR

    def uptime_seconds(self) -> float:
        return (self.clock.now - self.booted_at).total_seconds()

    def _store(self, name: str) -> WatchedStore:
        return WatchedStore(SqliteStore(self.folder / f"{name}.db", host=self.host), self.queue)

    def start(self) -> None:
        """Start the suite as a process of its own."""
        self.host = HostClock(lambda: self.clock.now + self.error, self.uptime_seconds, self.boot)
        self.control, self.auth, self.usage = (self._store(name) for name in ("control", "auth", "usage"))
        self.serve()

    def __post_init__(self) -> None:
        self.host = HostClock(self.clock, self.uptime_seconds, self.boot)
        super().__post_init__()
        self.start()

    def has_grace(self) -> bool:
        """Return whether the stored client has a version in grace."""
        return self.document(f"oauth2_clients/{CLIENT}")["previous_version"] is not None


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.found("alice", "bob")
    return machine


def two_secrets(machine: Machine) -> tuple[str, str]:
    first = machine.issue("alice", "bob")
    machine.clock.advance(hours=1)
    return first, machine.issue("alice", "bob")


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("days", [8, -8])
def test_a_jump_that_is_corrected_ends_no_grace_window(machine: Machine, days: int, *, restarts: bool) -> None:
    secrets = two_secrets(machine)
    machine.error = timedelta(days=days)
    if restarts:
        machine.start()
    for _ in range(4):
        machine.sweep()
        assert [machine.check(secret)["accepted"] for secret in secrets] == [True, True]
        machine.clock.advance(minutes=1)
    machine.error = timedelta(0)
    machine.sweep()
    assert machine.has_grace()
    assert [machine.check(secret)["accepted"] for secret in secrets] == [True, True]
    machine.clock.advance(hours=1)
    assert [machine.check(secret)["accepted"] for secret in secrets] == [False, True]
    machine.sweep()
    assert not machine.has_grace()


def test_a_wrong_clock_after_a_boot_ends_no_grace_window_for_good(machine: Machine) -> None:
    secrets = two_secrets(machine)
    machine.error, machine.boot, machine.booted_at = timedelta(days=8), "second", machine.clock.now
    machine.start()
    for _ in range(4):
        assert machine.sweep()["settled"] == 0
        machine.clock.advance(minutes=1)
    machine.error = timedelta(0)
    assert [machine.check(secret)["accepted"] for secret in secrets] == [True, True]
    machine.clock.advance(hours=1)
    machine.sweep()
    assert not machine.has_grace()


def test_a_jump_that_lasts_is_followed(machine: Machine) -> None:
    secrets = two_secrets(machine)
    machine.error = timedelta(days=8)
    machine.sweep()
    machine.clock.advance(seconds=LASTING_SECONDS)
    machine.sweep()
    assert not machine.has_grace()
    assert [machine.check(secret)["accepted"] for secret in secrets] == [False, True]
