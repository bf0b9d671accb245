"""A delivery that is killed leaves its leases behind: the next one ends them, and nobody waits for them to run out."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.sqlite.delivery_lock import hold_delivery_lock
from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.local.delivery import Delivery
from keyturn.ports.store import Create, StoreUnavailable
from keyturn.ports.triggers import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
SECRET = "oauth2_clients/a/secrets/1"

CLAIMING = """
import pathlib, sys, time
from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.adapters.sqlite.store import SqliteStore
outbox = Outbox(SqliteStore(pathlib.Path(sys.argv[1])).file)
with outbox.hold_delivery_lock():
    outbox.claim(10)
    print("claimed", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db", triggers=TRIGGERS)


def claimed_by_another_process(store: SqliteStore) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CLAIMING, str(store.file.path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: S603 - our own program
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"claimed\n"
    return process


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_lease_of_a_killed_process_ends_when_the_next_one_attends(store: SqliteStore) -> None:
    store.commit([Create(SECRET, {})])
    outbox = Outbox(store.file)
    process = claimed_by_another_process(store)
    process.kill()
    process.wait(10)
    assert outbox.claim(1) == ()
    with outbox.hold_delivery_lock():
        (event,) = outbox.claim(1)
    assert (event.subject, event.attempts) == (SECRET, 1)


def test_row_is_not_given_up_however_often_its_process_dies(store: SqliteStore) -> None:
    store.commit([Create(SECRET, {})])
    outbox = Outbox(store.file)
    for _ in range(2 * outbox.policy.attempts):
        with outbox.hold_delivery_lock():
            (event,) = outbox.claim(1)  # and neither done nor failed: who claimed it is gone
        assert event.attempts == 1


def test_lease_of_a_living_process_is_left_to_it(store: SqliteStore) -> None:
    store.commit([Create(SECRET, {})])
    outbox = Outbox(store.file)
    process = claimed_by_another_process(store)
    try:
        with outbox.hold_delivery_lock():
            assert outbox.claim(1) == ()
    finally:
        process.kill()
        process.wait(10)


def test_delivery_attends_while_it_runs(store: SqliteStore) -> None:
    outbox, stop = Outbox(store.file), threading.Event()
    thread = threading.Thread(target=Delivery(outbox, "http://127.0.0.1:1").run, args=(stop,))
    lock = store.file.path.with_name("store.db.delivery")
    thread.start()
    try:
        until(lock.exists)
        until(lambda: not _alone(lock))
    finally:
        stop.set()
        thread.join()
    assert _alone(lock)


def _alone(lock: Path) -> bool:
    found: list[bool] = []
    with hold_delivery_lock(lock, lambda: found.append(True)):
        return bool(found)


def test_lock_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable), hold_delivery_lock(tmp_path / "lock", lambda: None):
        pass
