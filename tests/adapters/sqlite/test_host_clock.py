"""A step of the host's clock counts only once it has lasted, and after a boot the time is not certain at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.sqlite.host_clock import HOST, LASTING_SECONDS, HostClock
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.store import Create, Data, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
A = "oauth2_clients/a"
STEPS = [timedelta(days=8), timedelta(seconds=61), timedelta(seconds=-75), timedelta(days=-8)]


class Host:
    """A machine whose two clocks a test moves. Each process has a clock of its own."""

    def __init__(self) -> None:
        self.boot, self.seconds, self.error = "first", 100.0, timedelta(0)

    def process(self) -> HostClock:
        return HostClock(lambda: self.true_time + self.error, lambda: self.seconds, self.boot)

    @property
    def true_time(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def restart(self) -> None:
        self.boot, self.seconds = "second", 5.0


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def opened(host: Host, tmp_path: Path) -> Callable[[], SqliteStore]:
    """Return a function that opens one file, each time as a process of its own."""
    return lambda: SqliteStore(tmp_path / "store.db", host=host.process())


def write(store: SqliteStore, data: Data) -> datetime:
    return store.commit([put(store.get([A])[A], data)])


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_no_effect_before_it_has_lasted(
    host: Host, opened: Callable[[], SqliteStore], step: timedelta
) -> None:
    store = opened()
    write(store, {})
    host.error = step
    for _ in range(int(LASTING_SECONDS / 10)):
        assert store.get([]).read_time == host.true_time
        host.seconds += 10
    assert write(store, {}) == host.true_time + step
    assert store.get([]).read_time == host.true_time + step


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_corrected_in_time_never_counts(
    host: Host, opened: Callable[[], SqliteStore], step: timedelta
) -> None:
    store = opened()
    for error in (timedelta(0), step, timedelta(0), step, timedelta(0)):
        host.error = error
        for _ in range(29):
            host.seconds += 10
            assert write(store, {}) == host.true_time


def test_a_small_step_is_followed_at_once_and_time_never_goes_back_by_it(
    host: Host, opened: Callable[[], SqliteStore]
) -> None:
    store = opened()
    host.error = timedelta(seconds=59)
    ahead = write(store, {})
    assert ahead == host.true_time + host.error
    host.error = timedelta(0)
    assert store.get([]).read_time == ahead


def test_a_process_that_begins_after_the_step_notices_it_too(host: Host, opened: Callable[[], SqliteStore]) -> None:
    write(opened(), {})
    host.error = timedelta(days=8)
    store = opened()
    assert store.get([]).read_time == host.true_time
    assert store.get([]).is_time_certain
    assert write(store, {}) == host.true_time


def test_a_step_that_one_process_followed_is_followed_by_the_others(
    host: Host, opened: Callable[[], SqliteStore]
) -> None:
    first = opened()
    write(first, {})
    host.error = timedelta(days=8)
    first.get([])
    host.seconds += LASTING_SECONDS
    assert write(first, {}) == host.true_time + host.error
    second = opened()
    assert second.get([]).read_time == host.true_time + host.error


def test_after_a_boot_the_time_is_used_at_once_and_certain_once_it_has_lasted(
    host: Host, opened: Callable[[], SqliteStore]
) -> None:
    write(opened(), {})
    host.restart()
    host.error = timedelta(days=8)
    store = opened()
    assert store.get([]).read_time == host.true_time + host.error
    write(store, {})
    host.seconds += LASTING_SECONDS - 1
    host.error = timedelta(days=1)  # a correction is followed at once, and begins the wait anew
    assert store.get([]).read_time == host.true_time + host.error
    host.seconds += LASTING_SECONDS - 1
    assert not store.get([]).is_time_certain
    assert not opened().get([]).is_time_certain
    host.seconds += 1
    write(store, {})
    assert store.get([]).is_time_certain
    assert opened().get([]).is_time_certain


def test_a_new_file_confirms_the_time_except_beside_one_of_an_earlier_boot(
    host: Host, opened: Callable[[], SqliteStore], tmp_path: Path
) -> None:
    store = opened()
    store.commit([Create(A, {})])
    assert store.get([A]).is_time_certain
    host.restart()
    process = host.process()
    stores = [SqliteStore(tmp_path / name, host=process) for name in ("store.db", "new.db")]
    assert [item.get([]).is_time_certain for item in stores] == [False, False]


def test_a_file_of_an_earlier_build_has_no_anchor_and_gets_one(host: Host, opened: Callable[[], SqliteStore]) -> None:
    store = opened()
    write(store, {})
    with store.file.writing() as connection:
        connection.execute("DROP TABLE clock")
    store.close()
    store = opened()
    assert not store.get([A]).is_time_certain
    host.seconds += LASTING_SECONDS
    write(store, {})
    assert opened().get([A]).is_time_certain


def test_the_real_host_agrees_with_its_time_of_day() -> None:
    assert abs(HOST.now() - datetime.now(UTC)) < timedelta(seconds=5)
