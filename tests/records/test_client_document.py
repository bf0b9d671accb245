"""A client's document alone tells a verifier what the whole state would, at every step of a rotation."""

from __future__ import annotations

import pytest
from keyturn.domain import lifecycle
from keyturn.domain.errors import Broken
from keyturn.domain.model import Client, ClientStatus, Rotation, Version
from keyturn.domain.record import is_recognised
from keyturn.records import paths
from keyturn.records.client_document import live_state
from keyturn.records.codec import from_data, to_data

from tests.world import CLIENT, World

pytestmark = pytest.mark.world("alice", "bob")


def assert_live_tells_what_is_stored(world: World) -> None:
    reading = world.suite.clients.read(CLIENT)
    data = world.document(paths.client(CLIENT))
    alone = live_state(data)
    for days in (0, 0.05, 1, 40):
        world.clock.advance(days=days)
        now = world.clock.now
        whole = lifecycle.settle(reading.state, reading.policy, now).state
        told = lifecycle.settle(alone, reading.policy, now).state
        assert (told.current, told.previous, told.pending) == (whole.current, whole.previous, whole.pending)
        assert told.client.status == whole.client.status
        world.clock.advance(days=-days)
    assert data["next_due_at"] == lifecycle.next_due_at(reading.state, reading.policy)


def test_live_is_the_state_at_every_step(world: World) -> None:
    assert_live_tells_what_is_stored(world)
    world.issue("alice", "bob")
    assert_live_tells_what_is_stored(world)
    world.clock.advance(hours=1)
    world.send(world.admins["alice"].rotation(not_before=world.milliseconds(hours=2)))
    assert_live_tells_what_is_stored(world)
    world.pump()
    assert_live_tells_what_is_stored(world)
    rotation_id = world.document(paths.client(CLIENT))["active_rotation"]
    world.send(world.admins["bob"].ack(rotation_id))
    assert_live_tells_what_is_stored(world)
    world.clock.advance(hours=2)
    world.sweep()
    assert_live_tells_what_is_stored(world)
    world.send(world.admins["bob"].action("rollback"))
    assert_live_tells_what_is_stored(world)
    world.send(world.admins["bob"].action("suspend"))
    assert_live_tells_what_is_stored(world)


def test_the_live_rotation_names_no_people(world: World) -> None:
    world.issue("alice", "bob", not_before=world.milliseconds(hours=2))
    rotation = world.document(paths.client(CLIENT))["live"]["rotation"]
    assert (list(rotation["recipients"]), list(rotation["acks"])) == ([], [])


def test_entities_survive_the_store(world: World) -> None:
    world.issue("alice", "bob", not_before=world.milliseconds(hours=2))
    reading = world.suite.clients.read(CLIENT)
    versions, rotations = list(reading.state.versions.values()), list(reading.state.rotations.values())
    assert from_data(Client, to_data(reading.state.client)) == reading.state.client
    assert [from_data(Version, to_data(version)) for version in versions] == versions != []
    assert [from_data(Rotation, to_data(rotation)) for rotation in rotations] == rotations != []


@pytest.mark.parametrize("damage", ["client_id", "kind", "admin_groups", "updated_at"])
def test_a_document_without_what_its_entity_needs_is_broken_and_not_shown(world: World, damage: str) -> None:
    data = {name: value for name, value in world.document(paths.client(CLIENT)).items() if name != damage}
    with pytest.raises(Broken) as broken:
        from_data(Client, data)
    assert CLIENT not in str(broken.value)


def test_an_unknown_status_is_read_and_written_back(world: World) -> None:
    client = from_data(Client, {**world.document(paths.client(CLIENT)), "status": "half-asleep"})
    assert not is_recognised(client.status)
    assert client.status not in set(ClientStatus)
    assert to_data(client)["status"] == "half-asleep"
