"""Attested admins with Firestore underneath: the same doors, the same commits over two databases."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.emulators import FIRESTORE
from tests.functions.attested import Person, admins, admitted, body, invite, refusal
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = [*FIRESTORE, pytest.mark.world(attested=True, kind="firestore")]

COMMAND = Counter(BatchGetDocuments=2, Commit=1)
"""What an act may cost, its proof looked at and used up."""


def test_admins_are_registered_approved_stopped_and_brought_back(world: FirestoreWorld) -> None:
    alice = admitted(world, "alice")
    mallory = Person(world, "mallory")
    assert refusal(mallory.register(invite(world, "mallory")["code"])) == (409, "awaits_approval")
    bob = admitted(world, "bob", alice)
    assert body(world.operator("/admins/bob/suspend", {}))["devices"] == [bob.npub]
    assert refusal(bob.prove("A" * 43)) == (401, "proof_refused")
    assert refusal(bob.come_back()) == (403, "not_active")
    awaited = body(world.operator("/admins/bob/resume", {}))["awaits_approval"]
    assert alice.approve(awaited, "bob", "resume").status_code == 200
    assert body(world.operator("/admins/bob/resume", {}))["status"] == "active"
    assert bob.come_back().status_code == 200
    assert admins(world) == {"alice": "active", "bob": "active"}
    members = [member["user"] for member in world.document(f"mls_groups/{GROUP}/roster/members")["members"]]
    assert members == ["alice", "bob"]


def test_a_proven_act_is_two_reads_and_one_commit(world: FirestoreWorld) -> None:
    alice = admitted(world, "alice")
    event = alice.action("suspend", {}, CLIENT)
    with world.counting() as calls:
        assert world.send(event).status_code == 200
    assert Counter(calls) <= COMMAND
