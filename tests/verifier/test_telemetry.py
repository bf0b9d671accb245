"""Telemetry: every use counts once, whatever the store does; a process that vanished is none that is silent."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.usage_silence import HOUR, hour_of
from keyturn.ports.effects import Environment
from keyturn.ports.store import LostRace, Replace, StoreUnavailable
from keyturn.records.codec import from_data
from keyturn.records.usage import (
    MAX_CALLERS,
    USAGE_SHARDS,
    USE_RETENTION,
    ClientFailures,
    VerifierLife,
    VersionUse,
    failures_path,
    merge_uses,
    pack,
    pack_hours,
    unpack,
    unpack_hours,
    version_path,
)
from keyturn.verifier import telemetry as module
from keyturn.verifier.telemetry import Telemetry
from keyturn.verifier.verdict import Reason, Verdict

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from keyturn.ports.store import Document, Query, Snapshot, Write

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
VERSION, OTHER = "01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB"
GOOD = Verdict(accepted=True, now=NOW, client_id="acme", version_id=VERSION, reason=Reason.ACCEPTED)
BAD = Verdict(accepted=False, now=NOW, in_transition=True)
JUNK = Verdict(accepted=False, now=NOW, reason=Reason.UNKNOWN_CLIENT)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return (self.now - NOW).total_seconds()


class Troubled:
    """A store that fails as it is told: before a commit, or after it was applied."""

    def __init__(self, clock: Clock) -> None:
        self.inner = MemoryStore(clock)
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.commits = 0

    def get(self, paths: Iterable[str]) -> Snapshot:
        return self.inner.get(paths)

    def query(self, query: Query) -> Sequence[Document]:
        return self.inner.query(query)

    @property
    def longest_commit(self) -> timedelta:
        return self.inner.longest_commit

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        if self.before:
            raise self.before.pop(0)
        at = self.inner.commit(writes, basis=basis)
        self.commits += 1
        if self.after:
            raise self.after.pop(0)
        return at


class Scene:
    """A usage store and processes that count."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = Troubled(self.clock)

    def process(self, sleep: Callable[[float], None] = lambda _seconds: None) -> Telemetry:
        environment = Environment(os.urandom, sleep)
        process = Telemetry(self.store, environment, self.clock.seconds, lambda _run: None)
        process.start()
        return process

    def documents(self, collection: str) -> list[dict[str, object]]:
        found = self.store.inner._documents
        return [dict(item.data or {}) for path, item in found.items() if path.startswith(collection)]

    def uses(self, version_id: str = VERSION) -> VersionUse | None:
        total: VersionUse | None = None
        for shard in range(USAGE_SHARDS):
            path = version_path(version_id, shard)
            data = self.store.get([path])[path].data
            if data is not None:
                use = from_data(VersionUse, data)
                total = use if total is None else merge_uses(total, use)
        return total

    def lives(self) -> list[VerifierLife]:
        return [from_data(VerifierLife, data) for data in self.documents("verifiers/")]  # type: ignore[arg-type]  # store values


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_uses_are_counted_by_version_hour_and_caller(scene: Scene) -> None:
    process = scene.process()
    for verdict, caller in (
        (GOOD, "web"),
        (GOOD, "web"),
        (replace(GOOD, now=NOW + HOUR), "job"),
        (replace(GOOD, version_id=OTHER), ""),
    ):
        process(verdict, "acme", "s3cret", caller)
    process.flush()
    use = scene.uses()
    assert use is not None
    assert (use.client_id, use.count, use.first_at, use.last_at) == ("acme", 3, NOW, NOW + HOUR)
    assert unpack(use.hours) == {hour_of(NOW): 2, hour_of(NOW) + 1: 1}
    assert {item.caller: (item.count, item.last_at) for item in use.callers} == {
        "web": (2, NOW),
        "job": (1, NOW + HOUR),
    }
    assert use.expires_at == use.last_at + USE_RETENTION
    other = scene.uses(OTHER)
    assert other is not None
    assert other.count == 1


def test_refusals_count_for_clients_in_transition_and_junk_is_not_stored(scene: Scene) -> None:
    process = scene.process()
    for _ in range(3):
        process(BAD, "acme", "wrong", "web")
    process(JUNK, "nobody", "junk", "web")
    process.flush()
    (data,) = scene.documents("client_failures/")
    failures = from_data(ClientFailures, data)  # type: ignore[arg-type]  # store values
    assert (failures.client_id, failures.count, unpack(failures.hours)) == ("acme", 3, {hour_of(NOW): 3})
    assert process.junk == 1
    assert b"nobody" not in repr(scene.store.inner._documents).encode()


def test_no_secret_is_kept(scene: Scene) -> None:
    process = scene.process()
    process(GOOD, "acme", "a-very-secret-value", "web")
    assert "a-very-secret-value" not in repr(vars(process)) + repr(process._uses) + repr(vars(process._buffer))
    process.flush()
    assert "a-very-secret-value" not in repr(scene.store.inner._documents)


def test_processes_at_once_lose_nothing(scene: Scene) -> None:
    # With real pauses: they are what lets eight writers of one document get through.
    processes = [scene.process(time.sleep) for _ in range(8)]

    def work(process: Telemetry) -> None:
        for _ in range(50):
            process(GOOD, "acme", "", "web")
            process.flush()

    threads = [threading.Thread(target=work, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        while process._batch is not None:
            process.flush()
    use = scene.uses()
    assert use is not None
    assert (use.count, use.callers[0].count) == (400, 400)


@pytest.mark.parametrize("applied", [True, False])
def test_a_commit_of_unknown_outcome_counts_once(scene: Scene, *, applied: bool) -> None:
    process = scene.process()
    process(GOOD, "acme", "", "")
    (scene.store.after if applied else scene.store.before).append(LostRace())
    process.flush()
    process(GOOD, "acme", "", "")
    process.flush()
    use = scene.uses()
    assert use is not None
    assert use.count == 2


def test_what_an_outage_delays_comes_later_and_once(scene: Scene) -> None:
    process = scene.process()
    process.flush()
    process(GOOD, "acme", "", "")
    scene.store.after.append(LostRace())  # applied, and then the store is gone
    get = scene.store.get
    scene.store.get = _failing_after(get, 1)  # type: ignore[method-assign]  # an outage
    with pytest.raises(StoreUnavailable):
        process.flush()
    scene.clock.now += timedelta(minutes=10)
    process(GOOD, "acme", "", "")
    assert scene.lives()[0].counted_to < NOW
    scene.store.get = get  # type: ignore[method-assign]  # it is back
    process.flush()
    use = scene.uses()
    assert use is not None
    assert use.count == 2
    assert scene.lives()[0].counted_to > NOW + timedelta(minutes=9)


def _failing_after(get, turns: int):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - a method's stand-in
    left = iter(range(turns))

    def failing(paths: Iterable[str]) -> Snapshot:
        if next(left, None) is None:
            raise StoreUnavailable("gone")
        found: Snapshot = get(paths)
        return found

    return failing


def test_a_process_says_how_far_it_has_counted_and_goodbye(scene: Scene) -> None:
    process = scene.process()
    process.flush()
    (life,) = scene.lives()
    assert (life.started_at, life.ended_at, life.lost_to) == (NOW, None, None)
    assert NOW - timedelta(seconds=5) <= life.counted_to < NOW
    scene.clock.now += timedelta(minutes=3)
    process(GOOD, "acme", "", "")
    process.close()
    (life,) = scene.lives()
    assert (life.started_at, life.ended_at) == (NOW, scene.clock.now)
    use = scene.uses()
    assert use is not None
    assert use.count == 1
    process.close()
    assert scene.store.commits == 3


def test_those_that_said_goodbye_take_no_more_room_than_one_a_shard(scene: Scene) -> None:
    for number in range(12):
        process = scene.process()
        process._shard = number % 2
        process(GOOD, "acme", "", "")
        process._lost_to = NOW if number == 5 else None
        process.flush()
        scene.clock.now += timedelta(minutes=1)
        if number == 7:
            scene.store.after.append(LostRace())
        process.close()
    assert {life.process for life in scene.lives()} == {"ended-0", "ended-1"}
    assert min(life.started_at for life in scene.lives()) == NOW
    assert [life.lost_to for life in scene.lives() if life.lost_to] == [NOW]
    assert all(life.ended_at for life in scene.lives())
    use = scene.uses()
    assert use is not None
    assert use.count == 12


def test_one_that_counted_nothing_says_nothing(scene: Scene) -> None:
    environment = Environment(os.urandom, lambda _seconds: None)
    Telemetry(scene.store, environment, scene.clock.seconds, lambda _run: None).close()
    assert scene.store.commits == 0


def test_a_full_queue_is_owned_up_to(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 3)
    process = scene.process()
    for _ in range(5):
        process(GOOD, "acme", "", "")
    process.flush()
    assert scene.lives()[0].lost_to == NOW + timedelta(seconds=2)
    use = scene.uses()
    assert use is not None
    assert use.count == 3


def test_more_documents_than_one_commit_takes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IN_COMMIT", 2)
    process = scene.process()
    for number in range(5):
        process(replace(GOOD, version_id=f"01{number:024d}"), "acme", "", "")
    process.flush()
    assert len(scene.documents("version_usage/")) == 5
    assert scene.store.commits == 3
    assert scene.lives()[0].flush == 3


def test_callers_are_bounded_and_the_rest_are_counted_together(scene: Scene) -> None:
    for _ in range(2):
        process = scene.process()
        process._shard = 0
        for number in range(MAX_CALLERS + 10):
            process(GOOD, "acme", "", f"caller-{os.urandom(4).hex()}-{number}")
        process.flush()
    use = scene.uses()
    assert use is not None
    assert use.count == sum(item.count for item in use.callers) == 2 * (MAX_CALLERS + 10)
    assert len(use.callers) <= MAX_CALLERS + 1


def test_a_damaged_count_stops_nobody_and_is_owned_up_to(scene: Scene) -> None:
    process = scene.process()
    process(GOOD, "acme", "", "")
    process.flush()
    path = version_path(VERSION, process._shard)
    document = scene.store.get([path])[path]
    damaged = {**(document.data or {}), "hours": "no hours"}
    scene.store.inner.commit([Replace(path, damaged, document.version or "")])
    process(GOOD, "acme", "", "")
    process(replace(GOOD, version_id=OTHER), "acme", "", "")
    process.flush()
    uses = [scene.uses(), scene.uses(OTHER)]
    assert [use.count for use in uses if use] == [1, 1]
    assert scene.lives()[0].lost_to is not None


def test_uses_of_long_ago_are_forgotten(scene: Scene) -> None:
    process = scene.process()
    process(GOOD, "acme", "", "old")
    process.flush()
    process(replace(GOOD, now=NOW + USE_RETENTION + 2 * HOUR), "acme", "", "new")
    process.flush()
    use = scene.uses()
    assert use is not None
    assert (use.count, [item.caller for item in use.callers]) == (2, ["new"])
    assert list(unpack(use.hours)) == [hour_of(NOW + USE_RETENTION) + 2]


@pytest.mark.parametrize("hours", [[], [5], [5, 6, 7], [1, 2, 4, 9, 10], list(range(480_000, 480_840))])
def test_hours_as_text_and_back(hours: list[int]) -> None:
    assert unpack_hours(pack_hours(hours)) == frozenset(hours)
    counts = Counter({hour: hour % 7 + 1 for hour in hours})
    assert unpack(pack(counts)) == counts


def test_a_thread_of_its_own_writes_without_being_asked() -> None:
    clock, done = Clock(), threading.Event()
    store = Troubled(clock)

    class Telling(Telemetry):
        def flush(self, *, ending: bool = False) -> None:
            super().flush(ending=ending)
            done.set()

    process = Telling(store, Environment(os.urandom, lambda _seconds: None), clock.seconds)
    process(GOOD, "acme", "", "web")
    assert done.wait(5)
    process.close()
    assert failures_path("acme", 0) not in store.inner._documents
    assert sum(item.data is not None and item.data.get("count") == 1 for item in store.inner._documents.values()) == 1


def test_where_no_thread_is_to_be_had_the_next_check_asks_again(scene: Scene) -> None:
    asked: list[object] = []

    def background(run: object) -> None:
        asked.append(run)
        if len(asked) == 1:
            raise RuntimeError("can't start new thread")

    process = Telemetry(scene.store, Environment(os.urandom, lambda _seconds: None), scene.clock.seconds, background)
    with pytest.raises(RuntimeError):
        process.start()
    for _ in range(3):
        process.start()
    assert len(asked) == 2
