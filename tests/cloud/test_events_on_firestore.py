"""Events on Firestore: twice, out of order, a day old, about nothing that changed: no effect beyond the first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.ports.store import Replace
from keyturn.ports.triggers import SUBSCRIPTIONS
from keyturn.records import paths

from tests.emulators import FIRESTORE
from tests.world import CLIENT, GROUP, delivery

if TYPE_CHECKING:
    from keyturn.adapters.sqlite.outbox import OutboxEvent

    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = [*FIRESTORE, pytest.mark.world("alice", "bob", kind="firestore")]


def stored(world: FirestoreWorld) -> dict[str, object]:
    """Return versions of what a delivery could have changed."""
    wanted = [paths.client(CLIENT), paths.group(GROUP), *map(paths.rotation, rotation_ids(world))]
    snapshot = world.control.inner.get(wanted)
    return {path: snapshot[path].version for path in wanted}


def rotation_ids(world: FirestoreWorld) -> list[str]:
    client = world.document(paths.client(CLIENT))
    return [name for name in (client["active_rotation"], client["last_rotation"]) if name]


def asked(world: FirestoreWorld) -> tuple[str, OutboxEvent]:
    """Request a rotation; its id, and the event that this woke, which nobody delivered yet."""
    answer = world.send(world.admins["alice"].rotation())
    (event,) = world.queue
    world.queue.clear()
    return str((answer.json or {})["rotation_id"]), event


def message_of(world: FirestoreWorld, rotation_id: str) -> OutboxEvent:
    topic = SUBSCRIPTIONS[0]
    fields = {"client_id": CLIENT, "rotation_id": rotation_id}
    return delivery(topic.function, "topic", topic.topic, fields, world.clock.now)


def test_every_event_twice_is_one_notice(world: FirestoreWorld) -> None:
    rotation_id, written = asked(world)
    for _ in range(2):
        assert world.deliver(written).status_code == 200
    messages = [item for item in world.queue if item.kind == "topic"]
    assert len(messages) == 2
    world.queue.clear()
    assert [(world.deliver(item).json or {})["sent"] for item in (*messages, *messages)] == [True, False, False, False]
    assert world.admins["bob"].secret(rotation_id)


def test_the_message_before_its_event(world: FirestoreWorld) -> None:
    rotation_id, written = asked(world)
    assert (world.deliver(message_of(world, rotation_id)).json or {})["sent"] is True
    world.queue.clear()
    before = stored(world)
    assert world.deliver(written).status_code == 200
    assert world.pump() == []
    assert stored(world) == before


def test_events_in_reverse(world: FirestoreWorld) -> None:
    """Two rotations, the second one superseding the first; the first one's events come last."""
    first_id, first = asked(world)
    world.send(world.admins["bob"].action("cancel", {"rotation_id": first_id}))
    world.queue.clear()
    second_id, second = asked(world)
    for event in (second, first):
        assert world.deliver(event).status_code == 200
    assert set(world.pump()) == {200}
    assert world.admins["bob"].secret(second_id)
    assert (world.deliver(message_of(world, first_id)).json or {})["sent"] is False
    assert {notice.rotation_id for notice in world.admins["bob"].device.inbox()} == {second_id}


@pytest.mark.parametrize("age", [timedelta(days=1), timedelta(days=6)])
def test_old_events_change_nothing(world: FirestoreWorld, age: timedelta) -> None:
    rotation_id, written = asked(world)
    world.deliver(written)
    world.pump()
    world.send(world.admins["bob"].ack(rotation_id))
    world.queue.clear()
    before = stored(world)
    aged = replace(written, published_at=written.published_at - age)
    message = message_of(world, rotation_id)
    late = replace(message, published_at=message.published_at - age)
    assert [world.deliver(event).status_code for event in (aged, late)] == [200, 200]
    assert stored(world) == before
    assert not world.queue


def test_a_write_that_changes_nothing_publishes_nothing(world: FirestoreWorld) -> None:
    world.issue("alice", "bob")
    world.pump()
    path = paths.version(CLIENT, str(world.document(paths.client(CLIENT))["current_version"]))
    document = world.control.inner.get([path])[path]
    before = stored(world)
    world.control.commit([Replace(path, document.data or {}, document.version or "")])
    (woken,) = world.queue
    world.queue.clear()
    assert (world.deliver(woken).json or {})["published"] is False
    assert not world.queue
    assert stored(world) == before


def test_an_event_about_what_is_gone_is_taken(world: FirestoreWorld) -> None:
    nothing = paths.version(CLIENT, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
    event = delivery("on_secret_version", "document", nothing, {}, world.clock.now)
    answer = world.deliver(event)
    assert (answer.status_code, (answer.json or {})["published"]) == (200, False)
