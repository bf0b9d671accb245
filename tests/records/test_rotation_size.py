"""A rotation stops to grow while its document has room for every later change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from keyturn.ports.store import Create, Replace, write_bytes
from keyturn.records import paths, rotation_size

from tests.world import CLIENT

if TYPE_CHECKING:
    import pytest
    from keyturn.ports.store import Data

    from tests.world import World


def issued(world: World) -> str:
    """Have a client with a secret, and the same client's next rotation requested; the rotation's id."""
    world.found("alice", "bob", "carol")
    world.issue("alice", "bob")
    world.clock.advance(hours=2)
    answer = world.send(world.admins["alice"].rotation())
    return str(cast("Any", answer.json)["rotation_id"])


def fill(world: World, rotation_id: str) -> None:
    """Add recipients of other groups until the rotation has less room than one acknowledgement needs."""
    path = paths.rotation(rotation_id)
    document = world.control.inner.get([path])[path]
    data = cast("dict[str, Any]", dict(cast("Data", document.data)))
    own, other = list(data["recipients"]), {**data["recipients"][0], "user": "x" * 128, "group": "g" * 128}

    def size(number: int) -> int:
        return write_bytes(Create(path, {**data, "recipients": [*own, *[other] * number]}))

    number = (rotation_size.LARGEST_BYTES - size(0)) // (size(1) - size(0))
    data["recipients"] = [*own, *[other] * number]
    data["reason"] += "r" * (rotation_size.LARGEST_BYTES - size(number))
    world.control.inner.commit([Replace(path, data, document.version or "")])


def test_a_full_rotation_takes_no_further_acknowledgement(world: World) -> None:
    rotation_id = issued(world)
    world.pump()
    fill(world, rotation_id)
    before = world.document(paths.rotation(rotation_id))
    answer = world.send(world.admins["bob"].ack(rotation_id))
    assert (answer.status_code, cast("Any", answer.json)["reason"]) == (409, "rotation_full")
    assert world.document(paths.rotation(rotation_id)) == before


def test_a_client_with_a_full_rotation_can_be_suspended(world: World) -> None:
    rotation_id = issued(world)
    world.pump()
    fill(world, rotation_id)
    answer = world.send(world.admins["alice"].action("suspend", {"reason": "a leak is suspected"}))
    assert answer.status_code == 200
    assert world.document(paths.client(CLIENT))["status"] == "suspended"
    assert world.document(paths.rotation(rotation_id))["outcome"] == "canceled"


def test_a_rotation_with_too_many_recipients_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rotation_id = issued(world)
    path, client = paths.rotation(rotation_id), world.document(paths.client(CLIENT))
    monkeypatch.setattr(rotation_size, "LARGEST_BYTES", write_bytes(Create(path, world.document(path))) + 100)
    requested = world.documents()
    message = world.queue.popleft()
    while world.deliver(message).status_code == 200:  # the changed documents, and then the message to distribute
        message = world.queue.popleft()
    assert message.function == "distribute"
    assert world.documents() == requested
    assert world.document(paths.client(CLIENT))["current_version"] == client["current_version"]
    monkeypatch.undo()  # people have left, and the recipients fit
    assert world.deliver(message).status_code < 300
    assert world.document(path)["phase"] == "distributed"
