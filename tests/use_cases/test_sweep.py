"""The sweeper: what is due and nothing else, twice the same as once, and nobody holds up the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import TYPE_CHECKING

import pytest

from shared.domain.encodings import due_shard
from shared.domain.policy import Policy
from shared.ports.bus import BusUnavailable
from shared.ports.store import Update
from shared.use_cases.sweep import PAGE
from tests.world import CLIENT, EACH_STORE, GROUP

if TYPE_CHECKING:
    from tests.world import World


def clients(world: World, number: int) -> list[str]:
    """Add clients of one shard whose first rotation was asked for and never delivered."""
    every = (f"client-{index:04d}" for index in count())
    names = list(islice((name for name in every if due_shard(name) == 7), number))
    for name in names:
        world.add_client(name)
        assert world.send(world.admins["alice"].rotation(client_id=name)).status_code == 200
    world.queue.clear()
    return names


def damage(world: World, client_id: str, **changes: object) -> None:
    path = f"oauth2_clients/{client_id}"
    document = world.control.inner.get([path])[path]
    whole = {name: value for name, value in {**(document.data or {}), **changes}.items() if value is not ...}
    world.control.inner.commit([Update(path, whole, document.version or "")])  # type: ignore[arg-type]  # values


def test_a_sweep_with_nothing_due_reads_and_writes_no_client(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    world.control.calls.clear()
    assert world.sweep()["settled"] == 0
    assert "commit" not in world.control.calls


@EACH_STORE
def test_what_time_brought_is_written_down_once_by_two_sweeps_at_once(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    world.clock.advance(hours=2)

    with ThreadPoolExecutor(2) as pool:
        swept = list(pool.map(lambda _turn: world.sweep(), range(2)))

    assert sum(item["settled"] for item in swept) == 1
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


def test_a_rotation_that_nobody_could_send_expires(world: World) -> None:
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
    [{"active_rotation": "01J0000000000000000000000Z"}, {"live": ...}, {"live": "nothing"}, {"policy": {"quorum": 0}}],
    ids=["names nothing", "without live", "live is text", "policy out of bounds"],
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
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["a client could not be settled"] * 2
    assert world.document(f"oauth2_clients/{names[2]}")["active_rotation"] is None


def test_a_bus_that_is_down_holds_up_nobody_whose_time_has_come(world: World) -> None:
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


def test_answers_and_rates_are_forgotten_after_a_day(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    kept = [path for path in world.documents() if path.startswith(("events/", "rates/"))]
    assert len(kept) == 3
    world.clock.advance(hours=23, minutes=59)
    world.sweep()
    assert [path for path in world.documents() if path.startswith(("events/", "rates/"))] == kept
    world.clock.advance(minutes=2)

    world.sweep()

    assert not [path for path in world.documents() if path.startswith(("events/", "rates/"))]
    assert world.document(f"mls_groups/{GROUP}")["group_id"] == GROUP
