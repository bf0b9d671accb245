"""A full disk is called full, changes nothing, and does not stop reading. The engine itself reports it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.sqlite import file
from keyturn.adapters.sqlite.schema import connect
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.entry.http.problems import problem
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.store import Create, StoreFull

from tests.small_disk import mounted
from tests.world import CLIENT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from tests.world import World

KEPT = "oauth2_clients/kept"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 2 MB: for tests of tier `mount`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "2m"):
        yield disk


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "fill").open("ab", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


@pytest.mark.tier("mount")
def test_commit_on_a_full_disk_changes_nothing_and_works_once_there_is_space(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "data" / "control.db")
    store.commit([Create(KEPT, {"value": "first"})])
    fill(small_disk)
    with pytest.raises(StoreFull, match=r"the disk of control\.db is full"):
        store.commit([Create("oauth2_clients/new", {"value": "x" * 300_000})])
    snapshot = store.get([KEPT, "oauth2_clients/new"])
    assert (snapshot[KEPT].exists, snapshot["oauth2_clients/new"].exists) == (True, False)
    (small_disk / "fill").unlink()
    store.commit([Create("oauth2_clients/new", {"value": "x" * 300_000})])
    store.close()


@pytest.mark.tier("mount")
def test_store_that_was_killed_opens_on_a_full_disk_and_reads(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "data" / "control.db")
    store.commit([Create(KEPT, {"value": "first"})])
    fill(small_disk)
    again = SqliteStore(small_disk / "data" / "control.db")  # the log and the shared memory are still there
    assert again.get([KEPT])[KEPT].exists
    again.close()
    store.close()


@pytest.mark.tier("mount")
def test_store_that_was_closed_opens_on_a_full_disk_and_reads(small_disk: Path) -> None:
    path = small_disk / "data" / "control.db"
    store = SqliteStore(path)
    store.commit([Create(KEPT, {"value": "first"})])
    store.close()
    fill(small_disk)
    again = SqliteStore(path)  # there is no shared memory, and no space for it
    assert again.get([KEPT])[KEPT].exists
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _turn: again.get([KEPT])[KEPT].exists, range(64)))
    with pytest.raises(StoreFull, match=r"the disk of control\.db is full"):
        again.commit([Create("oauth2_clients/new", {"value": "x"})])
    (small_disk / "fill").unlink()
    again.commit([Create("oauth2_clients/new", {"value": "x"})])
    assert again.get(["oauth2_clients/new"])["oauth2_clients/new"].exists
    again.close()


@pytest.mark.tier("mount")
def test_new_store_on_a_full_disk_names_it(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreFull, match=r"the disk of control\.db is full"):
        SqliteStore(small_disk / "data" / "control.db")


@pytest.mark.world(kind="sqlite", founded=False)
def test_request_is_told_and_credentials_are_still_checked(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found("alice", "bob")
    secret = world.issue("alice", "bob")
    world.clock.advance(hours=2)
    store = cast("SqliteStore", world.control.inner)
    store.close()
    monkeypatch.setattr(file, "connect", connect_without_growth)
    use_up_pages(store)

    answer = world.send(world.admins["alice"].rotation())

    assert (answer.status_code, (answer.json or {})["reason"]) == (503, "disk_full")
    assert [text for text in caplog.messages if text.startswith("the disk is full")]
    assert world.check(secret)["accepted"]
    assert world.document(f"oauth2_clients/{CLIENT}")["active_rotation"] is None


def connect_without_growth(path: Path) -> sqlite3.Connection:
    """Open a connection for which SQLite refuses to let the file grow. A failed one is replaced, so each needs it."""
    connection = connect(path)
    connection.execute("PRAGMA max_page_count = 1")  # SQLite raises it to the size that the file has
    return connection


def use_up_pages(store: SqliteStore) -> None:
    """Fill the free space within the file, first by much, then by little at a time."""
    for size in (2000, 10):
        with pytest.raises(StoreFull):
            create_many(store, size)


def create_many(store: SqliteStore, size: int) -> None:
    for number in range(10_000):
        store.commit([Create(f"events/fill-{size}-{number}", {"value": "x" * size})])


def test_local_bus_on_a_full_disk_is_told_as_such() -> None:
    error = BusUnavailable("the message may not have been stored")
    error.__cause__ = StoreFull("the disk of control.db is full")
    body, status, _ = problem(error)
    assert (status, body["reason"]) == (503, "disk_full")
