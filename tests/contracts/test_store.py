"""The contract of every store: the behaviour that use cases rely on."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing import get_context
from threading import Barrier, Thread
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.store import (
    MAX_DOCUMENT_BYTES,
    MAX_WRITES,
    Amend,
    Check,
    CommitTooLarge,
    Create,
    Data,
    Delete,
    Document,
    LostRace,
    Query,
    Replace,
    Store,
    StoreError,
    Value,
    Write,
    put,
    write_bytes,
)

from tests.emulators import FIRESTORE
from tests.lossy_store import Faults, LossyStore
from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = "oauth2_clients/a", "oauth2_clients/b", "oauth2_clients/c"


class SetClock:
    """A clock that a test moves, also backwards."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


EMBEDDED: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "memory": lambda request: MemoryStore(request.getfixturevalue("clock")),
    "sqlite": lambda request: SqliteStore(
        request.getfixturevalue("tmp_path") / "store.db", clock=request.getfixturevalue("clock")
    ),
}
"""Those that take their time from a clock of ours."""
STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    **EMBEDDED,
    "lossy": lambda request: cast("Store", LossyStore(MemoryStore(request.getfixturevalue("clock")), Faults())),
    "firestore": lambda request: cast("Store", request.getfixturevalue("firestore_store")),
}
MARKS = {"firestore": FIRESTORE}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in STORES])
def store(request: pytest.FixtureRequest) -> Store:
    return STORES[request.param](request)


@pytest.fixture(params=EMBEDDED)
def clocked(request: pytest.FixtureRequest) -> Store:
    return EMBEDDED[request.param](request)


def read(store: Store, path: str) -> Document:
    return store.get([path])[path]


def version(store: Store, path: str) -> str:
    found = read(store, path).version
    assert found is not None
    return found


def create(store: Store, **documents: Data) -> None:
    store.commit([Create(f"oauth2_clients/{name}", data) for name, data in documents.items()])


def test_absent_document_is_read_as_absent(store: Store) -> None:
    document = read(store, A)
    assert (document.path, document.data, document.version, document.exists) == (A, None, None, False)


def test_snapshot_holds_exactly_what_was_asked_for(store: Store) -> None:
    create(store, a={"n": 1}, b={"n": 2})
    snapshot = store.get([A, C, A])
    assert set(snapshot.documents) == {A, C}
    assert snapshot[A].data == {"n": 1}
    with pytest.raises(KeyError):
        snapshot[B]


VALUES: dict[str, Value] = {
    "null": None,
    "true": True,
    "one": 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "text": 'Zoë "quoted" \\ \n \x00 \U0001f511',
    "bytes": bytes(range(256)),
    "time": datetime(2026, 2, 3, 4, 5, 6, 789_123, tzinfo=UTC),
    "before_1970": datetime(1900, 1, 1, tzinfo=UTC),
    "empty_map": {},
    "empty_sequence": (),
    "looks_like_a_time": {"$t": 5},
    "looks_like_bytes": {"$b": "AA==", "other": 1},
    "looks_like_a_tagged_map": {"$m": {"$m": {}}},
    "nested": {"acks": ({"by": "u", "at": datetime(2026, 1, 1, tzinfo=UTC)}, None, b"\x00")},
}


@pytest.mark.parametrize("name", VALUES)
def test_value_comes_back_as_it_was(store: Store, name: str) -> None:
    create(store, a={"field": VALUES[name]})
    data = read(store, A).data
    assert data is not None
    assert data == {"field": VALUES[name]}
    assert isinstance(data["field"], bool) == isinstance(VALUES[name], bool)


def test_field_names_are_free(store: Store) -> None:
    names = {"$t": 1, "with.dot": 2, "ä": 3, "`": 4, " ": 5}
    create(store, a=names)
    assert read(store, A).data == names


def test_time_of_another_zone_comes_back_as_the_same_instant_in_utc(store: Store) -> None:
    create(store, a={"at": datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))})
    at = (read(store, A).data or {})["at"]
    assert isinstance(at, datetime)
    assert (at, at.utcoffset()) == (START, timedelta())


UNHOLDABLE: dict[str, object] = {
    "float": 0.5,
    "set": {1},
    "65 bits": 2**63,
    "naive time": datetime(2026, 1, 1),  # noqa: DTZ001 - the naive time is the point
    "sequence in a sequence": [[1]],
    "deep float": {"a": [{"b": 0.5}]},
    "lone surrogate": "\ud800",
    "field name of another type": {1: 1},
    "empty field name": {"": 1},
}


@pytest.mark.parametrize("name", UNHOLDABLE)
def test_value_that_firestore_cannot_hold_is_refused(store: Store, name: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        create(store, a={"field": cast("Value", UNHOLDABLE[name])})
    assert not read(store, A).exists


@pytest.mark.parametrize("path", ["", "a", "a/b/c", "a//b/c", "/a", "a/", "a/..", "a/.", "a/\ud800"])
def test_what_is_no_documents_path_is_refused(store: Store, path: str) -> None:
    with pytest.raises(ValueError, match=r"segments|Unicode"):
        store.get([path])
    with pytest.raises(ValueError, match=r"segments|Unicode"):
        store.commit([Create(path, {})])


def test_writer_cannot_change_a_document_after_the_commit(store: Store) -> None:
    inner: dict[str, Value] = {"n": 1}
    acks: list[Value] = [inner]
    create(store, a={"inner": inner, "acks": acks})
    inner["n"] = 2
    acks.append(3)
    assert read(store, A).data == {"inner": {"n": 1}, "acks": ({"n": 1},)}


def test_reader_cannot_change_a_document(store: Store) -> None:
    create(store, a={"inner": {"n": 1}})
    data = cast("dict[str, dict[str, int]]", read(store, A).data)
    with pytest.raises(TypeError):
        data["inner"]["n"] = 2
    with pytest.raises(TypeError):
        data["more"] = {}
    assert read(store, A).data == {"inner": {"n": 1}}


def test_update_replaces_the_whole_document(store: Store) -> None:
    create(store, a={"n": 1, "gone": True})
    store.commit([put(read(store, A), {"n": 2})])
    assert read(store, A).data == {"n": 2}


def test_amend_replaces_its_fields_and_leaves_the_others(store: Store) -> None:
    create(store, a={"n": 1, "kept": {"inner": 1}, "swapped": {"old": 1, "older": 2}})
    before = version(store, A)
    store.commit([Amend(A, {"n": None, "swapped": {"new": (1, 2)}, "more.dotted`\\": START})])
    found = read(store, A)
    assert found.data == {
        "n": None,
        "kept": {"inner": 1},
        "swapped": {"new": (1, 2)},
        "more.dotted`\\": START,
    }
    assert found.version != before


def test_amend_rests_on_no_version(store: Store) -> None:
    create(store, a={"n": 1}, b={"n": 1})
    old = version(store, B)
    store.commit([Replace(A, {"n": 2, "other": True}, version(store, A))])
    store.commit([Amend(A, {"n": 3}), Check(B, old)])
    assert read(store, A).data == {"n": 3, "other": True}


def test_what_was_amended_stands_in_its_indexes(store: Store) -> None:
    create(store, a={"due_shard": 3, "next_due_at": None})
    store.commit([Amend(A, {"next_due_at": at(1)})])
    assert names(store.query(due())) == ["a"]


def test_put_creates_where_nothing_was_read(store: Store) -> None:
    absent = read(store, A)
    store.commit([put(absent, {"n": 1})])
    assert read(store, A).data == {"n": 1}
    with pytest.raises(LostRace):
        store.commit([put(absent, {"n": 2})])


def test_stamp_is_a_time_that_the_store_took_while_it_committed(store: Store) -> None:
    for number in range(2):
        before = store.get([A, B])
        done = store.commit([put(before[A], {"n": number, "at": START}, "at"), put(before[B], {"at": START})])
        after = store.get([A, B])
        stamp = cast("datetime", cast("Data", after[A].data)["at"])
        assert before.read_time - timedelta(milliseconds=1) <= stamp <= done  # Firestore's has whole milliseconds
        assert [cast("Data", after[A].data)["n"], cast("Data", after[B].data)["at"]] == [number, START]


def test_every_change_gives_a_new_version(store: Store) -> None:
    # Firestore keeps the version if an update changes nothing: it is the same state.
    create(store, a={})
    first = version(store, A)
    store.commit([Replace(A, {"n": 1}, first)])
    second = version(store, A)
    store.commit([Replace(A, {}, second)])
    assert len({first, second, version(store, A)}) == 3


def test_check_changes_nothing(store: Store) -> None:
    create(store, a={"n": 1})
    before = read(store, A)
    store.commit([Check(A, before.version), Check(B, None)])
    assert read(store, A) == before
    assert not read(store, B).exists


def test_version_never_comes_back(store: Store) -> None:
    seen = set()
    for _ in range(5):
        create(store, a={"same": True})
        seen.add(version(store, A))
        store.commit([Delete(A, version(store, A))])
    assert len(seen) == 5
    create(store, a={"same": True})
    for old in seen:
        for write in (Replace(A, {}, old), Delete(A, old), Check(A, old)):
            with pytest.raises(LostRace):
                store.commit([write])


LOSING: dict[str, Callable[[Mapping[str, str]], Write]] = {
    "create where there is one": lambda _: Create(A, {"n": 9}),
    "update at an old version": lambda old: Replace(A, {"n": 9}, old[A]),
    "update of what was deleted": lambda old: Replace(B, {"n": 9}, old[B]),
    "update of what never was": lambda old: Replace("oauth2_clients/x", {"n": 9}, old[A]),
    "delete at an old version": lambda old: Delete(A, old[A]),
    "delete of what was deleted": lambda old: Delete(B, old[B]),
    "check at an old version": lambda old: Check(A, old[A]),
    "check of what was deleted": lambda old: Check(B, old[B]),
    "check that what is there is absent": lambda _: Check(A, None),
    "amend what was deleted": lambda _: Amend(B, {"n": 9}),
    "amend what never was": lambda _: Amend("oauth2_clients/x", {"n": 9}),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", LOSING)
def test_losing_precondition_undoes_the_whole_commit(store: Store, name: str, first: bool) -> None:  # noqa: FBT001 - a parameter
    create(store, a={"n": 1}, b={"n": 1}, c={"n": 1})
    old = {path: version(store, path) for path in (A, B, C)}
    store.commit([Replace(A, {"n": 2}, old[A]), Delete(B, old[B])])
    before = dict(store.get([A, B, C, "oauth2_clients/d"]).documents)
    good: list[Write] = [Create("oauth2_clients/d", {}), Replace(C, {"n": 2}, old[C])]
    losing = LOSING[name](old)
    with pytest.raises(LostRace):
        store.commit([losing, *good] if first else [*good, losing])
    assert store.get([A, B, C, "oauth2_clients/d"]).documents == before


def test_value_refused_late_in_a_commit_undoes_it(store: Store) -> None:
    with pytest.raises(TypeError):
        store.commit([Create(A, {}), Create(B, {"x": cast("Value", 0.5)})])
    assert not read(store, A).exists


def test_no_two_writes_share_a_path(store: Store) -> None:
    with pytest.raises(ValueError, match="share a path"):
        store.commit([Create(A, {}), Check(A, None)])


def test_all_kinds_of_writes_in_one_commit(store: Store) -> None:
    create(store, a={"n": 1}, b={"n": 1}, c={"n": 1})
    a, b, c = (version(store, path) for path in (A, B, C))
    store.commit([Replace(A, {"n": 2}, a), Delete(B, b), Check(C, c), Create("oauth2_clients/d", {"n": 4})])
    found = store.get([A, B, C, "oauth2_clients/d"])
    assert [found[path].data for path in found.documents] == [{"n": 2}, None, {"n": 1}, {"n": 4}]


def test_times_are_aware_and_follow_the_clock(clocked: Store, clock: SetClock) -> None:
    assert clocked.get([A]).read_time == START
    clock.now += timedelta(microseconds=1)
    committed = clocked.commit([Create(A, {})])
    assert (committed, committed.utcoffset()) == (clock.now, timedelta())


def test_times_are_aware_and_do_not_go_back(store: Store) -> None:
    before = store.get([A]).read_time
    committed = store.commit([Create(A, {})])
    after = store.get([A]).read_time
    assert before <= committed <= after
    assert {time.utcoffset() for time in (before, committed, after)} == {timedelta()}


def test_commit_of_nothing_and_snapshot_of_nothing_tell_the_time(store: Store) -> None:
    before = store.get([A]).read_time
    assert before <= store.get([]).read_time <= store.commit([])
    assert store.get([]).documents == {}


def test_times_do_not_go_back_with_the_clock(clocked: Store, clock: SetClock) -> None:
    committed = clocked.commit([Create(A, {})])
    clock.now -= timedelta(seconds=30)
    assert clocked.get([A]).read_time == committed
    assert clocked.commit([Create(B, {})]) == committed


def test_clock_corrected_by_more_than_a_minute_is_followed(clocked: Store, clock: SetClock) -> None:
    clock.now += timedelta(days=400)
    create(clocked, a={})
    clock.now = START
    assert clocked.get([A]).read_time == START
    assert clocked.commit([Create(B, {})]) == START


def test_commit_on_a_fresh_basis_is_applied(store: Store) -> None:
    assert store.longest_commit > timedelta(0)
    snapshot = store.get([A])
    store.commit([put(snapshot[A], {"n": 1})], basis=snapshot)
    assert read(store, A).data == {"n": 1}


def test_commit_later_than_the_longest_time_after_its_basis_is_lost(clocked: Store, clock: SetClock) -> None:
    snapshot = clocked.get([A])
    clock.now += clocked.longest_commit + timedelta(microseconds=1)
    with pytest.raises(LostRace):
        clocked.commit([put(snapshot[A], {"n": 1})], basis=snapshot)
    assert not read(clocked, A).exists
    clocked.commit([put(snapshot[A], {"n": 2})])  # without a basis, a commit is never too late
    assert read(clocked, A).data == {"n": 2}


def test_commit_just_within_the_longest_time_after_its_basis_is_applied(clocked: Store, clock: SetClock) -> None:
    snapshot = clocked.get([A])
    clock.now += clocked.longest_commit
    assert clocked.commit([put(snapshot[A], {"n": 1})], basis=snapshot) == clock.now


def test_racing_threads_lose_no_update(store: Store) -> None:
    create(store, a={"n": 0})
    start = Barrier(4)
    lost = []

    def count() -> None:
        start.wait()
        done = 0
        while done < 25:
            before = read(store, A)
            assert before.data is not None
            try:
                store.commit([put(before, {"n": cast("int", before.data["n"]) + 1})])
                done += 1
            except LostRace:
                lost.append(1)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(store, A).data == {"n": 100}


def test_one_of_many_racing_creates_wins(store: Store) -> None:
    start = Barrier(4)
    outcomes: list[str] = []

    def attempt(name: str) -> None:
        start.wait()
        try:
            store.commit([Create(A, {"by": name}), Create(f"oauth2_clients/of-{name}", {})])
            outcomes.append(name)
        except LostRace:
            outcomes.append("lost")

    threads = [Thread(target=attempt, args=(name,)) for name in "wxyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (name for name in outcomes if name != "lost")
    found = store.get([A, *(f"oauth2_clients/of-{name}" for name in "wxyz")])
    assert [path for path in found.documents if found[path].exists] == [A, f"oauth2_clients/of-{winner}"]


def _count_in_process(path: Path, times: int) -> None:
    store = SqliteStore(path)
    done = 0
    while done < times:
        before = read(store, A)
        try:
            store.commit([put(before, {"n": cast("int", (before.data or {})["n"]) + 1})])
            done += 1
        except LostRace:
            continue


def test_racing_processes_lose_no_update(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    create(store, a={"n": 0})
    context = get_context("spawn")
    processes = [context.Process(target=_count_in_process, args=(tmp_path / "store.db", 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert read(store, A).data == {"n": 75}


def names(documents: Sequence[Document]) -> list[str]:
    return [document.path.rpartition("/")[2] for document in documents]


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def due(**changes: object) -> Query:
    query = Query("oauth2_clients", "next_due_at", equal=(("due_shard", 3),))
    return Query(**({name: getattr(query, name) for name in query.__slots__} | changes))


@pytest.fixture
def clients(store: Store) -> Store:
    create(
        store,
        late={"due_shard": 3, "next_due_at": at(9)},
        early={"due_shard": 3, "next_due_at": at(1)},
        tie_b={"due_shard": 3, "next_due_at": at(5)},
        tie_a={"due_shard": 3, "next_due_at": at(5)},
        ancient={"due_shard": 3, "next_due_at": datetime(1900, 1, 1, tzinfo=UTC)},
        elsewhere={"due_shard": 4, "next_due_at": at(1)},
        as_text={"due_shard": "3", "next_due_at": at(1)},
        as_bool={"due_shard": True, "next_due_at": at(1)},
        nothing_due={"due_shard": 3, "next_due_at": None},
        no_field={"due_shard": 3},
        no_shard={"next_due_at": at(1)},
        map_instead={"due_shard": 3, "next_due_at": {"x": 1}},
        tag_instead={"due_shard": 3, "next_due_at": {"$t": 1}},
        two_tags_instead={"due_shard": 3, "next_due_at": {"$t": 1, "x": 1}},
        bytes_instead={"due_shard": 3, "next_due_at": b"1"},
        list_instead={"due_shard": 3, "next_due_at": [at(1)]},
    )
    store.commit([Create("oauth2_clients/early/secrets/v", {"due_shard": 3, "next_due_at": at(1)})])
    store.commit([Create("other/x", {"due_shard": 3, "next_due_at": at(1)})])
    return store


def test_query_is_ordered_by_field_then_path_without_nulls(clients: Store) -> None:
    assert names(clients.query(due())) == ["ancient", "early", "tie_a", "tie_b", "late"]


def test_query_returns_whole_documents(clients: Store) -> None:
    (first, *_) = clients.query(due(at_least=START))
    assert first == read(clients, "oauth2_clients/early")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, at(5), ["ancient", "early", "tie_a", "tie_b"]),
        (None, at(4), ["ancient", "early"]),
        (at(5), None, ["tie_a", "tie_b", "late"]),
        (at(5), at(5), ["tie_a", "tie_b"]),
        (at(6), at(5), []),
        (None, at(5) - timedelta(microseconds=1), ["ancient", "early"]),
    ],
)
def test_range_includes_its_bounds(
    clients: Store, low: datetime | None, high: datetime | None, expected: list[str]
) -> None:
    assert names(clients.query(due(at_least=low, at_most=high))) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_meet_without_gap_or_overlap(clients: Store, limit: int) -> None:
    seen: list[str] = []
    page: Sequence[Document] = clients.query(due(limit=limit))
    while page:
        assert len(page) <= limit
        seen += names(page)
        page = clients.query(due(limit=limit, after=page[-1]))
    assert seen == ["ancient", "early", "tie_a", "tie_b", "late"]


def test_cursor_stands_where_its_document_stood_even_when_it_moved(clients: Store) -> None:
    page = clients.query(due(limit=3))
    clients.commit([put(page[-1], {"due_shard": 3, "next_due_at": at(99)})])
    assert names(clients.query(due(after=page[-1]))) == ["tie_b", "late", "tie_a"]


def test_cursor_that_was_in_no_page_is_refused(clients: Store) -> None:
    with pytest.raises(ValueError, match="cursor"):
        clients.query(due(after=Document("oauth2_clients/x", None, None)))


def test_query_sees_update_and_delete(clients: Store) -> None:
    late = read(clients, "oauth2_clients/late")
    clients.commit(
        [
            put(late, {"due_shard": 3, "next_due_at": at(0)}),
            Delete(f"{A[:-1]}early", version(clients, f"{A[:-1]}early")),
        ]
    )
    assert names(clients.query(due(at_least=START))) == ["late", "tie_a", "tie_b"]


@pytest.mark.parametrize(("shard", "expected"), [("3", ["as_text"]), (True, ["as_bool"]), (4, ["elsewhere"]), (5, [])])
def test_equality_knows_its_types(clients: Store, shard: str | int, expected: list[str]) -> None:
    assert names(clients.query(due(equal=(("due_shard", shard),)))) == expected


def test_query_stays_in_its_collection(store: Store) -> None:
    for group in ("g", "h"):
        store.commit([Create(f"mls_groups/{group}/messages/{n:04}", {"index": n}) for n in (10, 9, 2)])
    found = store.query(Query("mls_groups/g/messages", "index", at_least=9))
    assert [document.path for document in found] == ["mls_groups/g/messages/0009", "mls_groups/g/messages/0010"]


def test_bound_bounds_the_type_too(store: Store) -> None:
    values: dict[str, Value] = {"number": 5, "time": START, "text": "m", "empty": "", "zero": 0}
    create(store, **{name: {"client_id": value} for name, value in values.items()})
    assert names(store.query(Query("oauth2_clients", "client_id"))) == ["zero", "number", "time", "empty", "text"]
    for bound, expected in ((9, ["zero", "number"]), (at(1), ["time"]), ("z", ["empty", "text"])):
        assert names(store.query(Query("oauth2_clients", "client_id", at_most=cast("int", bound)))) == expected
    for bound, expected in ((1, ["number"]), (at(-1), ["time"]), ("", ["empty", "text"])):
        assert names(store.query(Query("oauth2_clients", "client_id", at_least=cast("int", bound)))) == expected


def test_text_is_ordered_as_its_utf8_bytes(store: Store) -> None:
    texts = ["Z", "a", "ab", "é", "\uffee", "\U0001f511"]
    shuffled = random.Random(7).sample(texts, len(texts))
    store.commit([Create(f"oauth2_clients/{n}", {"client_id": text}) for n, text in enumerate(shuffled)])
    found = store.query(Query("oauth2_clients", "client_id"))
    assert [(document.data or {})["client_id"] for document in found] == texts


UNDECLARED = {
    "field": Query("oauth2_clients", "status"),
    "collection": Query("oauth2_rotations", "client_id"),
    "equality missing": Query("oauth2_clients", "next_due_at"),
    "equality too many": due(equal=(("due_shard", 3), ("status", "active"))),
    "other equality": due(equal=(("status", 3),)),
    "group of the collection": Query("messages", "index"),
}


@pytest.mark.parametrize("name", UNDECLARED)
def test_query_without_a_declared_index_is_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="undeclared index"):
        store.query(UNDECLARED[name])


NO_QUERY = {
    "document": Query("oauth2_clients/a", "client_id"),
    "page of nothing": due(limit=0),
    "two types": due(at_least=1, at_most=START),
}


@pytest.mark.parametrize("name", NO_QUERY)
def test_what_is_no_query_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match=r"segments|page|bounds"):
        store.query(NO_QUERY[name])


def test_repr_shows_no_data(store: Store) -> None:
    create(store, a={"seal": "unmistakable"})
    assert "unmistakable" not in repr(store.get([A]))
    assert "unmistakable" not in repr([Create(A, {"seal": "unmistakable"}), Replace(A, {"seal": "unmistakable"}, "1")])


# Rule 7: the limits of Firestore, which its emulator does not enforce


def test_a_commit_has_at_most_so_many_writes(store: Store) -> None:
    writes = [Create(f"oauth2_clients/limit-{number}", {"client_id": "a"}) for number in range(MAX_WRITES + 1)]
    with pytest.raises(CommitTooLarge, match="500 writes"):
        store.commit(writes)
    assert not read(store, "oauth2_clients/limit-0").exists
    store.commit(writes[1:])
    assert read(store, "oauth2_clients/limit-500").exists


def test_a_document_has_at_most_a_mebibyte(store: Store) -> None:
    for value in ("x" * MAX_DOCUMENT_BYTES, b"x" * MAX_DOCUMENT_BYTES, ["x" * 1000] * 1100, {"a": "é" * 600_000}):
        with pytest.raises(CommitTooLarge, match="a document"):
            store.commit([Create(A, {"client_id": value}), Create(B, {})])
    assert (read(store, A).exists, read(store, B).exists) == (False, False)
    store.commit([Create(A, {"sealed": b"x" * (MAX_DOCUMENT_BYTES - 200)})])


def test_a_commit_has_at_most_ten_mebibytes(store: Store) -> None:
    part = b"x" * (MAX_DOCUMENT_BYTES - 200)
    writes = [Create(f"oauth2_clients/limit-{number}", {"sealed": part}) for number in range(11)]
    with pytest.raises(CommitTooLarge, match="a commit"):
        store.commit(writes)
    assert not read(store, "oauth2_clients/limit-0").exists


def test_sizes_are_counted_as_firestore_does() -> None:
    # The example of https://firebase.google.com/docs/firestore/storage-size: a task of 147 bytes.
    data: Data = {"type": "Personal", "done": False, "priority": 1, "description": "Learn Cloud Firestore"}
    assert write_bytes(Create("users/jeff/tasks/my_task_id", data)) == 44 + 71 + 32
    times: Data = {"at": START, "nothing": None, "list": [1, True], "map": {"a": b"12"}}
    assert write_bytes(Create("a/b", times)) == 20 + (3 + 8) + (8 + 1) + (5 + 8 + 1) + (4 + 2 + 2) + 32
    assert write_bytes(Check("a/b", None)) == 20 + 32
