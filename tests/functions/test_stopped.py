"""The stop and the denylists with attested admins: at registration, approvals, proofs and commands alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functions.attested import Person, admitted, body, invite, refusal
from tests.world import CLIENT

if TYPE_CHECKING:
    from tests.world import World

pytestmark = pytest.mark.world(attested=True)

STOPPED = (503, "stopped")
DIGEST = "A" * 43


def stop(world: World) -> None:
    assert world.operator("/stop", {"reason": "a leak"}).status_code == 200


def start(world: World) -> None:
    assert world.operator("/start", {}).status_code == 200


def test_while_stopped_an_admin_can_still_suspend(world: World) -> None:
    alice = admitted(world, "alice")
    stop(world)
    assert refusal(alice.prove(DIGEST, client_id=CLIENT)) == STOPPED
    assert refusal(alice.prove(DIGEST, client_id=CLIENT, action="rotation")) == STOPPED
    suspend = alice.action("suspend", {}, CLIENT)
    assert world.send(suspend).status_code == 200
    rotation = alice.action("rotation", {"rotation_reason": "x"}, CLIENT, proof="none")
    assert refusal(world.send(rotation)) == STOPPED


def test_while_stopped_registrations_approvals_and_joins_are_refused(world: World) -> None:
    alice = admitted(world, "alice")
    bobs, carols = invite(world, "bob"), invite(world, "carol")
    approval = alice.approval(bobs["invite"], "bob")
    assert alice.approve(carols["invite"], "carol").status_code == 200
    carol = Person(world, "carol")
    assert carol.register(carols["code"]).status_code == 200
    stop(world)
    assert refusal(alice.send_approval(approval)) == STOPPED
    assert refusal(carol.register(carols["code"])) == STOPPED
    assert refusal(carol.confirm(carols["code"])) == STOPPED
    assert refusal(carol.join(carols["code"])) == STOPPED
    assert refusal(alice.come_back()) == STOPPED
    start(world)
    assert alice.send_approval(approval).status_code == 200
    assert carol.confirm(carols["code"]).status_code == 200
    assert carol.join(carols["code"]).status_code == 200


def test_a_denied_admin_proves_and_approves_nothing_even_with_a_proof_from_before(world: World) -> None:
    alice = admitted(world, "alice")
    bob = admitted(world, "bob", alice)
    carols = invite(world, "carol")
    approval = bob.approval(carols["invite"], "carol")
    suspend = bob.action("suspend", {}, CLIENT)
    assert world.operator("/denied", {"add": {"users": ["bob"]}}).status_code == 200
    assert refusal(bob.prove(DIGEST, client_id=CLIENT)) == (401, "proof_refused")
    assert refusal(bob.send_approval(approval)) == (403, "denied")
    world.clock.advance(seconds=15)
    assert refusal(world.send(suspend)) == (403, "denied")
    kept = [item for path, (_, item) in world.documents(world.usage).items() if path.startswith("refusals/")]
    entries = [entry for data in kept for entry in data["entries"]]  # type: ignore[index]  # a document
    assert [(entry["door"], list(entry["missing"])) for entry in entries] == [
        ("admin_proof", ["policy"]),
        ("rotate_request", ["policy"]),
    ]
    assert world.operator("/denied", {"remove": {"users": ["bob"]}}).status_code == 200
    assert body(bob.send_approval(approval))["approvals"] == 1


def test_a_denied_user_cannot_register(world: World) -> None:
    bobs = invite(world, "bob")
    assert world.operator("/denied", {"add": {"users": ["bob"]}}).status_code == 200
    assert refusal(Person(world, "bob").register(bobs["code"])) == (403, "denied")
