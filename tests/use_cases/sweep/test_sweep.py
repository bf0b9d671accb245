"""The sweeper settles due clients and no others, may run twice, and a damaged client delays no other."""

from __future__ import annotations

import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.adapters.mls.message_headers import read_head
from keyturn.adapters.pubsub_bus import PublishTimeouts, PubsubBus
from keyturn.domain.encodings import DUE_SHARDS, due_shard
from keyturn.domain.policy import Policy
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.store import Create, Replace, put
from keyturn.use_cases.doctor.run_checks import RunChecks
from keyturn.use_cases.sweep.expiry import EXPIRING, DeleteExpired
from keyturn.use_cases.sweep.expiry import PAGE as EXPIRED_PAGE
from keyturn.use_cases.sweep.sweep import PAGE

from tests.world import CLIENT, EACH_STORE, GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyturn.ports.store import Document, Query

    from tests.world import World


def clients(world: World, number: int, start: int = 0) -> list[str]:
    """Add clients of one shard whose first rotation was asked for and never delivered."""
    every = (f"client-{index:04d}" for index in count(start))
    names = list(islice((name for name in every if due_shard(name) == 7), number))
    for name in names:
        world.add_client(name)
        assert world.send(world.admins["alice"].rotation(client_id=name)).status_code == 200
    world.queue.clear()
    return names


def breaches(world: World) -> list[str]:
    """Return what the doctor finds."""
    suite = world.suite
    examine = RunChecks(
        suite.databases, suite.settings.policy, suite.groups, suite.keys.mac, read_head, suite.environment
    )
    return [f"{breach.subject}: {breach.sentence}" for breach in examine().breaches]


def damage(world: World, client_id: str, **changes: object) -> None:
    path = f"oauth2_clients/{client_id}"
    document = world.control.inner.get([path])[path]
    whole = {name: value for name, value in {**(document.data or {}), **changes}.items() if value is not ...}
    world.control.inner.commit([Replace(path, whole, document.version or "")])  # type: ignore[arg-type]  # values


def test_a_sweep_with_nothing_due_reads_and_writes_no_client(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    world.sweep()  # which keeps the house
    world.control.calls.clear()
    assert world.sweep()["settled"] == 0
    assert Counter(world.control.calls) == Counter(get=1, query=DUE_SHARDS)


@EACH_STORE
def test_what_time_brought_is_written_down_once_by_two_sweeps_at_once(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    world.clock.advance(hours=2)

    with ThreadPoolExecutor(2) as pool:
        swept = list(pool.map(lambda _turn: world.sweep(), range(2)))

    # The one that lost the race cannot tell it from a commit of its own with an unknown outcome, and counts it as well.
    assert sum(item["settled"] for item in swept) in {1, 2}
    assert sum(item["failed"] for item in swept) == 0
    client = world.document(f"oauth2_clients/{CLIENT}")
    assert (client["previous_version"], client["next_due_at"]) == (None, None)
    retired = [path for path in world.documents() if path.startswith(f"oauth2_clients/{CLIENT}/secrets/")]
    states = [(world.document(path)["state"], world.document(path)["retired_because"]) for path in retired]
    assert sorted(states, key=str) == [("current", None), ("retired", "grace_elapsed")]
    entries = [world.document(path) for path in world.documents() if path.startswith(f"oauth2_clients/{CLIENT}/audit/")]
    assert [entry["action"] for entry in entries].count("retire") == 1


def test_a_scheduled_promotion_is_written_down_when_it_is_due(world: World) -> None:
    world.found("alice", "bob")
    secret = world.issue("alice", "bob", not_before=world.milliseconds(hours=1))
    assert world.sweep()["settled"] == 0
    world.clock.advance(hours=1, seconds=5)
    before = world.check(secret)

    assert world.sweep()["settled"] == 1

    client = world.document(f"oauth2_clients/{CLIENT}")
    assert (before["accepted"], before["version_id"]) == (True, client["current_version"])
    rotation = world.document(f"oauth2_rotations/{client['last_rotation']}")
    assert (rotation["outcome"], rotation["completed_at"]) == ("promoted", rotation["not_before"])


@pytest.mark.parametrize(("late", "told"), [({"minutes": 10}, []), ({"minutes": 10, "seconds": 1}, [601])])
def test_what_is_settled_more_than_ten_minutes_late_is_told(
    world: World, caplog: pytest.LogCaptureFixture, late: dict[str, float], told: list[int]
) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob", not_before=world.milliseconds(hours=1))
    world.clock.advance(hours=1, **late)

    assert world.sweep()["settled"] == 1

    assert [record.getMessage() for record in caplog.records] == [
        f"a client was settled late: {seconds} seconds" for seconds in told
    ]


def test_a_rotation_that_was_never_delivered_is_published_again_and_arrives(world: World) -> None:
    world.found("alice", "bob")
    (name,) = clients(world, 1)
    assert world.sweep()["republished"] == 0
    world.clock.advance(minutes=1)

    assert world.sweep()["republished"] == 1
    assert world.sweep()["republished"] == 1  # still not there: once more, and distribute sends it once
    world.pump()

    assert [notice.client_id for notice in world.admins["bob"].device.catch_up()] == [name]
    assert world.sweep()["republished"] == 0


def test_a_rotation_that_was_never_sent_expires(world: World) -> None:
    world.found("alice", "bob")
    (name,) = clients(world, 1)
    world.clock.advance(minutes=30)

    assert world.sweep()["settled"] == 1

    client = world.document(f"oauth2_clients/{name}")
    assert (client["active_rotation"], client["next_due_at"]) == (None, None)
    rotations = [world.document(path) for path in world.documents() if path.startswith("oauth2_rotations/")]
    assert [(item["outcome"], item["waiting_for"]) for item in rotations] == [("expired", None)]


def test_more_than_a_page_of_due_clients_is_swept_at_once(world: World) -> None:
    world.serve(Policy(requests_per_hour_per_requester=1000))
    world.found("alice", "bob")
    names = clients(world, PAGE + 2)
    world.clock.advance(minutes=31)

    assert world.sweep()["settled"] == len(names)
    assert world.sweep()["settled"] == 0

    world.clock.advance(days=1)
    world.sweep()
    assert not [path for path in world.documents() if path.startswith("events/")]


@pytest.mark.parametrize(
    "changes",
    [{"active_rotation": "01J0000000000000000000000Z"}, {"live": ...}, {"live": "nothing"}, {"revision": "many"}],
    ids=["names nothing", "without live", "live is text", "no revision"],
)
def test_a_damaged_client_holds_up_no_other(
    world: World, caplog: pytest.LogCaptureFixture, changes: dict[str, object]
) -> None:
    world.found("alice", "bob")
    names = clients(world, 3)
    for name in names[:2]:
        damage(world, name, **changes)
    world.clock.advance(minutes=31)

    swept = world.sweep()

    assert (swept["settled"], swept["failed"]) == (1, 2)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(",")[0] for message in messages] == [
        f"a client could not be settled: {name}" for name in sorted(names[:2], key=due_shard)
    ]
    assert world.document(f"oauth2_clients/{names[2]}")["active_rotation"] is None


def test_a_bus_that_is_down_delays_no_due_client(world: World) -> None:
    world.found("alice", "bob")
    first, second = clients(world, 2)
    world.clock.advance(minutes=29)
    third = world.admins["alice"].rotation(client_id=CLIENT)
    assert world.send(third).status_code == 200
    world.clock.advance(minutes=1)
    world.bus.down = BusUnavailable("down")

    swept = world.sweep()

    assert (swept["settled"], swept["republished"], swept["failed"]) == (2, 0, 1)
    assert [world.document(f"oauth2_clients/{name}")["active_rotation"] for name in (first, second)] == [None, None]


def test_a_bus_that_is_down_is_asked_once_after_all_due_clients_are_settled(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found("alice", "bob")
    expired = clients(world, 3)
    world.clock.advance(minutes=29)
    expired_later = clients(world, 5, start=9000)
    world.clock.advance(minutes=1)
    settled_at_publish = []

    def hang(_topic: str, _message: Mapping[str, str]) -> None:
        settled_at_publish.append([world.document(f"oauth2_clients/{name}")["active_rotation"] for name in expired])
        world.clock.advance(seconds=8)  # the timeout of one publish
        raise BusUnavailable("down")

    monkeypatch.setattr(world.bus, "publish", hang)

    swept = world.sweep()

    assert (swept["settled"], swept["republished"], swept["failed"]) == (3, 0, 5)
    assert settled_at_publish == [[None] * 3]
    (record,) = caplog.records
    assert record.getMessage() in {f"a client could not be settled: {name}, BusUnavailable" for name in expired_later}


def test_slow_bus_delays_no_later_sweep_and_gets_every_rotation_in_turn(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found("alice", "bob")
    clients(world, 9)
    world.queue.clear()  # their events were lost
    world.clock.advance(minutes=10)
    published: list[str] = []
    seconds = [0.0]

    def publish_slowly(_topic: str, message: Mapping[str, str]) -> None:
        seconds[0] += 8  # longer than a bus may take, by little
        published.append(message["rotation_id"])

    monkeypatch.setattr(world.bus, "publish", publish_slowly)
    world.serve(environment=replace(world.suite.environment, monotonic=lambda: seconds[0]))

    swept = world.sweep()

    assert (swept["republished"], swept["failed"], seconds[0]) == (3, 6, 24)
    assert [record.getMessage() for record in caplog.records] == [
        "the bus is slow: 6 rotations wait for the next sweep"
    ]
    for _ in range(100):
        world.sweep()
    assert len(set(published)) == 9


def test_bus_that_hangs_delays_neither_commands_nor_settlement(world: World) -> None:
    world.found("alice", "bob", "carol", policy={"quorum": 1})
    expired, settled = clients(world, 2)
    world.issue("alice", "bob")  # the notices of all three are one batch
    world.clock.advance(minutes=29)
    again = world.admins["alice"].rotation(supersede=True)
    rotation_id = str((world.send(again).json or {})["rotation_id"])
    world.pump()
    (waiting,) = clients(world, 1, start=9000)
    world.clock.advance(minutes=1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and answers nothing
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        bus = PubsubBus("p", emulator_host=host, timeouts=PublishTimeouts(0.1, 0.2))
        world.serve(bus=bus)
        acknowledged = world.send(world.admins["bob"].ack(rotation_id))
        requested = world.send(world.admins["alice"].rotation(client_id=expired))
        events = [world.deliver(item).status_code for item in list(world.queue) if expired in item.subject]
        swept = world.sweep()
        bus.close()
    assert (acknowledged.status_code, requested.status_code) == (200, 200)
    assert set(events) == {200, 503}  # of the version that expired, and of the new one, which is delivered again later
    assert (swept["republished"], swept["settled"], swept["failed"]) == (0, 1, 1)
    active = {name: world.document(f"oauth2_clients/{name}")["active_rotation"] for name in (settled, waiting)}
    assert (active[settled] is None, active[waiting] is None) == (True, False)


def test_rates_are_forgotten_after_hours_and_answers_after_a_day(world: World) -> None:
    world.found("alice", "bob")
    founded = set(world.documents())  # with the answers of the operator's own acts
    world.issue("alice", "bob")

    def kept() -> list[str]:
        new_paths = set(world.documents()) - founded
        return sorted(path.partition("/")[0] for path in new_paths if path.startswith(("events/", "rates/")))

    assert kept() == ["events", "events", "rates"]
    world.clock.advance(hours=2)
    world.sweep()
    assert kept() == ["events", "events"]
    world.clock.advance(hours=21, minutes=59)
    world.sweep()
    assert kept() == ["events", "events"]
    world.clock.advance(hours=1)

    world.sweep()

    assert kept() == []
    assert world.document(f"mls_groups/{GROUP}")["group_id"] == GROUP


@EACH_STORE
def test_what_has_expired_goes_once_an_hour_and_what_has_not_stays(world: World) -> None:
    world.found("alice", "bob")
    world.sweep()
    at = world.clock.now
    stores = {"control": world.control, "auth": world.auth, "usage": world.usage}
    ends = {"over": timedelta(minutes=59), "now": timedelta(hours=1), "later": timedelta(hours=1, seconds=1)}
    for database, collection in EXPIRING:
        made = [Create(f"{collection}/{name}", {"expires_at": at + end}) for name, end in ends.items()]
        stores[database].inner.commit(made)

    def left() -> list[set[str]]:
        found = [
            (stores[database].inner.get([f"{collection}/{name}" for name in ends]).documents.values())
            for database, collection in EXPIRING
        ]
        return [{item.path.rpartition("/")[2] for item in items if item.exists} for items in found]

    world.clock.advance(minutes=59, seconds=59)
    world.sweep()
    assert left() == [set(ends)] * len(EXPIRING)
    world.clock.advance(seconds=1)
    world.sweep()
    assert left() == [{"later"}] * len(EXPIRING)


def test_more_than_a_page_that_expired_goes_at_once(world: World) -> None:
    world.found("alice")
    now, count = world.clock.now, EXPIRED_PAGE + 3
    writes = [Create(f"events/page-{number:04d}", {"expires_at": now}) for number in range(count)]
    world.control.inner.commit(writes)
    assert DeleteExpired(world.suite.databases, world.suite.environment)(world.clock.now) >= len(writes)
    assert not [path for path in world.documents() if path.startswith("events/page-")]


def test_a_document_that_lives_again_stays_and_holds_up_no_other(world: World) -> None:
    world.found("alice")
    now = world.clock.now
    world.control.inner.commit([Create(f"events/{name}", {"expires_at": now}) for name in "abc"])

    class Busy:
        """A store in which a concurrent writer changes `events/b` between its query and its commit."""

        def query(self, query: Query) -> Sequence[Document]:
            found = world.control.inner.query(query)
            again = world.control.inner.get(["events/b"])["events/b"]
            if query.collection == "events" and again.version == first:
                world.control.inner.commit([put(again, {"expires_at": now + timedelta(hours=1)})])
            return found

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
            return getattr(world.control.inner, name)

    first = world.control.inner.get(["events/b"])["events/b"].version
    databases = replace(world.suite.databases, control=cast("Any", Busy()))
    DeleteExpired(databases, world.suite.environment)(now)
    assert [world.control.inner.get([f"events/{name}"])[f"events/{name}"].exists for name in "abc"] == [
        False,
        True,
        False,
    ]


def test_a_store_that_forgets_by_itself_is_not_asked_what_has_expired(world: World) -> None:
    world.found("alice")
    world.serve(store_expires_documents=True)
    world.auth.calls.clear()
    world.sweep()
    assert "query" not in world.auth.calls


def test_what_a_rotation_made_goes_with_it_24_months_after_and_what_is_named_stays(world: World) -> None:
    world.found("alice", "bob")
    for _ in range(3):
        world.issue("alice", "bob", supersede=True)
    asked = world.send(world.admins["alice"].rotation(supersede=True)).json or {}
    assert world.send(world.admins["bob"].action("cancel", {"rotation_id": asked["rotation_id"]})).status_code == 200
    world.clock.advance(hours=2)
    world.sweep()
    client = world.document(f"oauth2_clients/{CLIENT}")
    named = {client["current_version"], client["last_rotation"]}

    def kept() -> set[str]:
        found = [path for path in world.documents() if path.startswith(("oauth2_rotations/", "oauth2_clients/"))]
        return {
            path.rpartition("/")[2] for path in found if "/secrets/" in path or path.startswith("oauth2_rotations/")
        }

    whole = kept()
    assert len(whole) == 8
    world.clock.advance(days=729)
    world.sweep()
    assert kept() == whole
    world.clock.advance(days=33)
    world.sweep()
    assert kept() == named
    assert breaches(world) == []
    for admin in world.admins.values():  # silent for so long, they come back
        admin.device.catch_up()
    secret = world.issue("alice", "bob", supersede=True)
    assert world.check(secret)["accepted"]
    assert world.send(world.admins["bob"].action("rollback")).status_code == 200


def test_a_version_that_lives_again_outlives_its_rotation(world: World) -> None:
    world.found("alice", "bob")
    first = world.issue("alice", "bob")
    world.clock.advance(hours=2)
    world.issue("alice", "bob", supersede=True)
    assert world.send(world.admins["bob"].action("rollback")).status_code == 200
    world.clock.advance(days=800)
    world.sweep()

    assert world.check(first)["accepted"]
    client = world.document(f"oauth2_clients/{CLIENT}")
    version = world.document(f"oauth2_clients/{CLIENT}/secrets/{client['current_version']}")
    assert version["expires_at"] is None
    assert f"oauth2_rotations/{version['rotation_id']}" not in world.documents()
    assert breaches(world) == []
    removed = world.operator(f"/groups/{GROUP}/remove", {"user": "bob"}).json or {}
    assert removed["received"] == [CLIENT]  # its recipients are unknown by now


def test_a_clock_that_is_set_back_does_not_stop_the_maintenance(world: World) -> None:
    world.sweep()
    world.clock.advance(days=-8)
    for _ in range(2):
        world.sweep()
        assert world.document("service/house")["due_at"] == world.clock() + timedelta(hours=1)
