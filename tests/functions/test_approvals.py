"""Approvals: which admins may approve an invite, what exactly they approve, and how often it counts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.attested import Person, admitted, body, invite, refusal
from tests.use_cases.faults import Died, Wire
from tests.world import CLIENT, GROUP, QUICK

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event

    from tests.world import World

pytestmark = pytest.mark.world(attested=True)


@pytest.fixture
def alice(world: World) -> Person:
    return admitted(world, "alice")


def audited(world: World, action: str) -> list[dict[str, Any]]:
    return [entry for entry in world.audited() if entry["action"] == action]


def test_an_approval_counts_once_is_audited_and_uses_its_proof_up(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    event = alice.approval(made["invite"], "bob")
    first = alice.send_approval(event)
    assert body(first) == {"invite": made["invite"], "approvals": 1, "needed": 1}
    assert alice.send_approval(event).text == first.text
    assert body(alice.approve(made["invite"], "bob"))["approvals"] == 1
    done = audited(world, "approve")
    assert [(entry["actor"], entry["ids"]["user"], entry["ids"]["invite"]) for entry in done] == [
        ("alice", "bob", made["invite"])
    ] * 2
    assert len([path for path in world.documents() if path.startswith("proofs/")]) == 2


@pytest.mark.world(attested=True, policy=replace(QUICK, invite_quorum=2))
def test_as_many_approve_as_policy_says_of_those_there_are(world: World) -> None:
    alice = admitted(world, "alice")
    bob = admitted(world, "bob", alice)
    made = invite(world, "carol")
    assert made["needed"] == 2
    assert body(alice.approve(made["invite"], "carol")) == {"invite": made["invite"], "approvals": 1, "needed": 2}
    carol = Person(world, "carol")
    assert refusal(carol.register(made["code"])) == (409, "awaits_approval")
    assert body(bob.approve(made["invite"], "carol"))["approvals"] == 2
    carol.enrol(made["code"])


def test_an_approver_who_is_stopped_later_no_longer_counts(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    made = invite(world, "carol")
    assert bob.approve(made["invite"], "carol").status_code == 200
    assert world.operator("/admins/bob/suspend", {}).status_code == 200
    assert refusal(Person(world, "carol").register(made["code"])) == (409, "awaits_approval")
    assert alice.approve(made["invite"], "carol").status_code == 200
    Person(world, "carol").enrol(made["code"])


def forged(person: Person, **content: object) -> Event:
    """Return an approval with another content and tag, under the proof of the honest one."""
    honest = person.approval("0" * 64, "bob")
    changed = {**json.loads(honest.content), **content}
    return person.signer.sign(40910, honest.tags, json.dumps(changed))


def tagged(person: Person, invite_id: str) -> Event:
    event = person.approval(invite_id, "bob")
    return person.signer.sign(40910, [*event.tags, ("client", CLIENT)], event.content)


def of_another_kind(person: Person, invite_id: str) -> Event:
    event = person.approval(invite_id, "bob")
    return person.signer.sign(40901, event.tags, event.content)


def used_twice(person: Person, invite_id: str) -> Event:
    event = person.approval(invite_id, "bob")
    assert person.send_approval(event).status_code == 200
    person.world.clock.advance(seconds=1)
    return person.signer.sign(40910, event.tags, event.content)


def for_another_invite(person: Person, invite_id: str) -> Event:
    other = invite(person.world, "carol")["invite"]
    proof = json.loads(person.approval(other, "carol").content)["jwt_proof"]
    return person.approval(invite_id, "bob", proof=proof)


def stale(person: Person, invite_id: str) -> Event:
    event = person.approval(invite_id, "bob")
    person.world.clock.advance(seconds=121)
    return event


def of_a_stranger(person: Person, invite_id: str) -> Event:
    return person.with_new_phone().approval(invite_id, "bob", proof=_proof(person, invite_id))


def _proof(person: Person, invite_id: str) -> str:
    return str(json.loads(person.approval(invite_id, "bob").content)["jwt_proof"])


ATTACKS: dict[str, Any] = {
    "no proof": (lambda p, i: p.approval(i, "bob", proof=""), (401, "proof_refused")),
    "proof for another invite": (for_another_invite, (401, "proof_refused")),
    "proof used already": (used_twice, (401, "proof_refused")),
    "somebody else's proof": (of_a_stranger, (401, "proof_refused")),
    "another person than the invite's": (lambda p, i: p.approval(i, "mallory"), (409, "invite_differs")),
    "another purpose than the invite's": (lambda p, i: p.approval(i, "bob", "device"), (409, "invite_differs")),
    "invite that there is not": (lambda p, _: p.approval("0" * 64, "bob"), (404, "unknown_invite")),
    "an id that is a path": (lambda p, _: p.approval("../admins/alice", "bob"), (400, "bad_invite_id")),
    "an act on a client": (tagged, (400, "tags_disagree")),
    "another kind of event": (of_another_kind, (400, "unknown_kind")),
    "stale": (stale, (400, "stale_event")),
    "action id that is none": (lambda p, _: forged(p, action_id="x"), (400, "tags_disagree")),
}


MISSING = {
    "no proof": ["form"],
    "proof for another invite": ["request"],
    "proof used already": ["unused"],
    "somebody else's proof": ["npub"],
}
"""What the evidence says of those that are refused for their proof."""


def evidence(world: World) -> list[tuple[str, list[str]]]:
    kept: Any = [data for path, (_, data) in world.documents(world.usage).items() if path.startswith("refusals/")]
    return [(entry["door"], list(entry["missing"])) for data in kept for entry in data["entries"]]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_approval_is_refused(world: World, alice: Person, name: str) -> None:
    make, told = ATTACKS[name]
    made = invite(world, "bob")
    event = make(alice, made["invite"])
    before = len(evidence(world))
    assert refusal(alice.send_approval(event)) == told
    kept = evidence(world)[before:]
    assert kept == ([("enrol", MISSING[name])] if name in MISSING else [])
    honest = body(alice.approve(made["invite"], "bob"))
    assert honest["approvals"] == 1


def test_an_admin_cannot_approve_their_own_invite(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    made = invite(world, "bob", purpose="device")
    assert refusal(bob.approve(made["invite"], "bob", "device")) == (403, "own_invite")


def test_rotate_request_takes_no_approval_and_enrol_no_command(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    assert refusal(world.send(alice.approval(made["invite"], "bob"))) == (400, "unknown_action")
    assert refusal(alice.send_approval(alice.action("suspend", {}, CLIENT, proof=""))) == (400, "unknown_kind")


def test_a_suspended_admin_cannot_approve(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    made = invite(world, "carol")
    event = bob.approval(made["invite"], "carol")
    assert world.operator("/admins/bob/suspend", {}).status_code == 200
    assert refusal(bob.send_approval(event)) == (403, "not_authorised")


def test_an_interrupted_approval_is_not_completed_for_an_admin_stopped_meanwhile(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    made = invite(world, "carol")
    event = bob.approval(made["invite"], "carol")
    calls = Wire(at=1)
    with pytest.raises(Died):
        world.new_suite(auth=calls.port(world.auth)).enrolment.approvals(event.to_dict())
    assert world.operator("/admins/bob/suspend", {}).status_code == 200
    assert refusal(bob.send_approval(event)) == (403, "not_active")


def test_an_approval_ends_with_its_invite(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    world.clock.advance(hours=24)
    assert refusal(alice.approve(made["invite"], "bob")) == (404, "unknown_invite")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("database", ["control", "auth"])
def test_cut_short_around_a_commit_the_same_event_goes_on(
    world: World,
    alice: Person,
    database: str,
    after: bool,  # noqa: FBT001 - a case
) -> None:
    made = invite(world, "bob")
    event = alice.approval(made["invite"], "bob")
    calls = Wire()
    suite = world.new_suite(**{database: calls.port(getattr(world, database))})
    calls.at, calls.after = 1, after
    with pytest.raises(Died):
        suite.enrolment.approvals(event.to_dict())
    assert body(alice.send_approval(event))["approvals"] == 1
    assert len(audited(world, "approve")) == 1


@pytest.mark.world("alice")
def test_without_proofs_no_approval_is_needed(world: World) -> None:
    made = invite(world, "bob")
    assert (made["needed"], made["approvals"]) == (0, 0)
    world.join("bob")
    assert [member["user"] for member in world.document(f"mls_groups/{GROUP}/roster/members")["members"]] == [
        "alice",
        "bob",
    ]
