"""What only the store on Firestore promises: its calls, outcomes that nobody knows, its databases, its import."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.document_values import LATE_COMMIT
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.ports.store import (
    MAX_WRITES,
    Check,
    CommitTooLarge,
    Create,
    Delete,
    LostRace,
    Query,
    Replace,
    StoreError,
    StoreUnavailable,
    Write,
    put,
)

from tests.adapters.firestore.rpc_watch import Counter
from tests.adapters.valve import Valve
from tests.emulators import FIRESTORE
from tests.rules.client import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = FIRESTORE

ROOT = Path(__file__).parents[3]
A, B = "oauth2_clients/a", "oauth2_clients/b"
PATIENCE_SECONDS = 30.0


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def counted(firestore_host: str, project: str, counter: Counter) -> Iterator[FirestoreStore]:
    channel = FirestoreChannel(emulator_host=firestore_host, interceptors=[counter])
    yield FirestoreStore(channel, project=project, database="control")
    channel.close()


@pytest.fixture
def valve(firestore_host: str) -> Iterator[Valve]:
    with Valve(firestore_host) as valve:
        yield valve


@pytest.fixture
def throttled(valve: Valve, project: str) -> Iterator[FirestoreStore]:
    """Return a store behind a valve, with a connection that is open already."""
    channel = FirestoreChannel(emulator_host=valve.host, deadline_seconds=2)
    store = FirestoreStore(channel, project=project, database="control")
    store.get([A])
    yield store
    channel.close()


def version(store: FirestoreStore, path: str = A) -> str:
    found = store.get([path])[path].version
    assert found is not None
    return found


def test_each_method_is_one_call(counted: FirestoreStore, counter: Counter) -> None:
    assert counter.calls == []
    snapshot = counted.get([A, B, A, *(f"oauth2_clients/{n}" for n in range(50))])
    counted.commit([put(snapshot[A], {"client_id": "a"}), Check(B, None)])
    assert len(counted.query(Query("oauth2_clients", "client_id"))) == 1
    assert counter.calls == ["BatchGetDocuments", "Commit", "RunQuery"]


def test_commit_on_an_old_read_is_lost_and_not_sent(firestore_host: str, project: str, counter: Counter) -> None:
    channel, now = FirestoreChannel(emulator_host=firestore_host, interceptors=[counter]), [100.0]
    store = FirestoreStore(channel, project=project, database="control", elapsed=lambda: now[0])
    snapshot = store.get([A])
    now[0] += 10.001  # the process was frozen
    with pytest.raises(LostRace):
        store.commit([put(snapshot[A], {"n": 1})], basis=snapshot)
    assert counter.calls == ["BatchGetDocuments"]
    store.commit([put(snapshot[A], {"n": 1})])  # without a basis, a commit is never too late
    snapshot = store.get([A])
    now[0] += 10
    store.commit([put(snapshot[A], {"n": 2})], basis=snapshot)
    assert counter.calls == ["BatchGetDocuments", "Commit"] * 2
    channel.close()


def test_the_age_of_a_read_counts_from_before_it_was_sent(firestore_host: str, project: str) -> None:
    channel, ticks = FirestoreChannel(emulator_host=firestore_host), iter([100.0, 111.0])
    store = FirestoreStore(channel, project=project, database="control", elapsed=lambda: next(ticks))
    snapshot = store.get([A])  # the answer takes 11 s to arrive
    with pytest.raises(LostRace):
        store.commit([put(snapshot[A], {"n": 1})], basis=snapshot)
    channel.close()


def test_a_commit_that_the_server_made_too_late_is_reported(
    firestore_store: FirestoreStore, caplog: pytest.LogCaptureFixture
) -> None:
    for age, messages in ((timedelta(0), []), (timedelta(seconds=40), [LATE_COMMIT])):
        snapshot = firestore_store.get([A])
        basis = replace(snapshot, read_time=snapshot.read_time - age)  # the process froze right before the call
        firestore_store.commit([put(snapshot[A], {"n": 1})], basis=basis)
        assert [record.getMessage() for record in caplog.records] == messages


def test_basis_of_another_store_is_too_old(firestore_store: FirestoreStore) -> None:
    snapshot = replace(firestore_store.get([A]), asked_at=None)
    with pytest.raises(LostRace):
        firestore_store.commit([put(snapshot[A], {"n": 1})], basis=snapshot)


def test_commit_above_the_limit_is_refused_before_it_is_sent(counted: FirestoreStore, counter: Counter) -> None:
    writes = [Create(f"oauth2_clients/{n}", {}) for n in range(MAX_WRITES + 1)]
    with pytest.raises(CommitTooLarge, match="at most 500"):
        counted.commit(writes)
    assert counter.calls == []
    counted.commit(writes[:-1])
    assert counter.calls == ["Commit"]


def test_what_is_no_query_is_not_sent(counted: FirestoreStore, counter: Counter) -> None:
    with pytest.raises(StoreError, match="undeclared index"):
        counted.query(Query("oauth2_clients", "status"))
    assert counter.calls == []


def test_check_moves_no_update_time_and_still_guards(firestore_store: FirestoreStore) -> None:
    firestore_store.commit([Create(A, {"n": 1})])
    before = version(firestore_store)
    firestore_store.commit([Check(A, before), Create(B, {})])
    assert version(firestore_store) == before
    firestore_store.commit([Replace(A, {"n": 2}, before)])
    with pytest.raises(LostRace):
        firestore_store.commit([Check(A, before)])


def test_four_threads_of_a_hundred_commits_lose_none(firestore_store: FirestoreStore) -> None:
    firestore_store.commit([Create(A, {"n": 0})])

    def count(_: int) -> None:
        done = 0
        while done < 100:
            before = firestore_store.get([A])[A]
            try:
                firestore_store.commit([put(before, {"n": cast("int", (before.data or {})["n"]) + 1})])
                done += 1
            except LostRace:
                time.sleep(0.002)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert firestore_store.get([A])[A].data == {"n": 400}


def test_one_snapshot_never_shows_half_a_commit(firestore_store: FirestoreStore) -> None:
    firestore_store.commit([Create(A, {"n": 0}), Create(B, {"n": 0})])
    ended = threading.Event()

    def write() -> None:
        for n in range(1, 60):
            both = firestore_store.get([A, B])
            firestore_store.commit([put(both[A], {"n": n}), put(both[B], {"n": n})])
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    torn = []
    while not ended.is_set():
        both = firestore_store.get([A, B])
        torn += [both] if both[A].data != both[B].data else []
    writer.join()
    assert torn == []


UNKNOWN: Mapping[str, Callable[[str], list[Write]]] = {
    "create": lambda _: [Create(B, {"mine": True})],
    "update": lambda at: [Replace(A, {"mine": True}, at), Create(B, {"mine": True})],
    "delete": lambda at: [Delete(A, at), Create(B, {"mine": True})],
}


@pytest.mark.parametrize("cut", [False, True], ids=["deadline", "cut"])
@pytest.mark.parametrize("name", UNKNOWN)
def test_applied_commit_without_an_answer_is_a_lost_race(
    name: str,
    cut: bool,  # noqa: FBT001 - a parameter
    throttled: FirestoreStore,
    firestore_store: FirestoreStore,
    valve: Valve,
) -> None:
    firestore_store.commit([Create(A, {"mine": False})])
    writes = UNKNOWN[name](version(firestore_store))
    valve.held.set()
    if cut:
        threading.Thread(target=cut_when_applied, args=(firestore_store, valve)).start()
    with pytest.raises(LostRace):
        throttled.commit(writes)
    assert firestore_store.get([B])[B].data == {"mine": True}
    valve.cut()
    valve.held.clear()
    assert throttled.get([B])[B].data == {"mine": True}  # read again: the effect is there to be recognised


def cut_when_applied(store: FirestoreStore, valve: Valve) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not store.get([B])[B].exists and time.monotonic() < deadline:
        time.sleep(0.01)
    valve.cut()


def test_read_without_an_answer_ends_at_its_deadline(throttled: FirestoreStore, valve: Valve) -> None:
    valve.held.set()
    with pytest.raises(StoreUnavailable):
        throttled.get([A])
    with pytest.raises(StoreUnavailable):
        throttled.query(Query("oauth2_clients", "client_id"))


def test_read_is_made_again_over_a_new_connection(throttled: FirestoreStore, valve: Valve) -> None:
    valve.cut()
    assert not throttled.get([A])[A].exists


def test_nobody_listening_is_unavailable_for_reading_and_lost_for_writing(valve: Valve, project: str) -> None:
    host = valve.host
    valve.__exit__()
    channel = FirestoreChannel(emulator_host=host, deadline_seconds=1)
    store = FirestoreStore(channel, project=project, database="control")
    with pytest.raises(StoreUnavailable):
        store.get([A])
    with pytest.raises(LostRace):
        store.commit([Create(A, {})])
    channel.close()


def test_databases_share_a_channel_and_nothing_else(firestore_channel: FirestoreChannel, project: str) -> None:
    stores = {
        name: FirestoreStore(firestore_channel, project=project, database=name) for name in ("control", "auth", "usage")
    }
    for name, store in stores.items():
        store.commit([Create(A, {"client_id": name})])
    for name, store in stores.items():
        assert store.get([A])[A].data == {"client_id": name}
        assert [found.data for found in store.query(Query("oauth2_clients", "client_id"))] == [{"client_id": name}]


def test_foreign_type_of_value_is_refused_on_reading(
    firestore_store: FirestoreStore, firestore_host: str, project: str
) -> None:
    foreign = Rest(firestore_host, project, "control", "owner")
    assert foreign.call("PATCH", f"/{A}", {"fields": {"share": {"doubleValue": 0.5}}}) == 200
    foreign.close()
    with pytest.raises(StoreError, match="does not write"):
        firestore_store.get([A])


def test_closed_channel_opens_again(firestore_host: str, project: str) -> None:
    channel = FirestoreChannel(emulator_host=firestore_host)
    store = FirestoreStore(channel, project=project, database="control")
    store.commit([Create(A, {})])
    channel.close()
    assert store.get([A])[A].exists
    channel.close()


def test_nothing_of_the_vendors_is_imported_before_the_first_call() -> None:
    program = (
        "import sys; from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore;"
        "FirestoreStore(FirestoreChannel(), project='p', database='control');"
        "sys.exit(any(name in sys.modules for name in ('grpc', 'google.api_core', 'google.cloud.firestore_v1')))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0  # noqa: S603 - ours
