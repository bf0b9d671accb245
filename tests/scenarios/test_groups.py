"""Groups that hold: removals, absence, restores, forgeries and crashes, from the devices' side, over the real doors."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import ServerRefusedError, UnreachableError
from keyturn.device.core.signed_events import ack_event, envelope_event, mls_payload
from keyturn.device.groups.join import Enrolment
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.model import Phase
from keyturn.mls import ApplicationReceived, Group, MlsError, commit_creation, leaf_node

from tests.scenarios.people import Person, is_in_step
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.mls.extensions import Capabilities
    from keyturn.mls.leaf_node import LeafNode

    from tests.world import World


@pytest.fixture
def people(world: World) -> tuple[Person, Person]:
    """Alice and Bob, members of a group with one client whose quorum is one."""
    world.found()
    return Person(world, "alice").join(), Person(world, "bob").join()


def rotated(world: World, by: Person, client_id: str = CLIENT) -> str:
    """Have a rotation asked for and its notice sent; its id."""
    world.clock.advance(minutes=2)
    answer = by.device.rotate(client_id, "because it is time", supersede=True)
    world.pump()
    return answers.text(answer, "rotation_id")


# --- commands inside MLS


def test_a_rotation_goes_through_inside_mls_from_request_to_promotion(
    world: World, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    rotation_id = rotated(world, alice)
    answer = bob.device.ack(rotation_id)
    assert (answer["phase"], answer["outcome"]) == ("completed", "promoted")
    secret = alice.device.notice(rotation_id).secret if alice.device.catch_up() else None
    assert secret is not None
    assert world.check(secret)["accepted"]
    sent = b"".join(alice.line.commands + bob.line.commands)
    assert CLIENT.encode() not in sent
    assert all(person.npub.encode() not in sent for person in people)


# --- removal


def every_copy(person: Person, states: list[Group]) -> list[Group]:
    """Add what the device holds now to all that it ever held."""
    states.append(person.seat.group)
    return states


def opened_by(states: Sequence[Group], log: Sequence[dict[str, object]], person: Person) -> Iterator[bytes]:
    """Return what any of the states, as it was or having read on, opens of a log."""
    messages = [base64url_decode(str(answers.mapping(entry, "event")["content"])) for entry in log]
    for state in states:
        group = state
        for message in messages:
            for held in {id(item): item for item in (state, group)}.values():
                try:
                    group, event = held.receive(message, now=person.world.clock())
                except MlsError:
                    continue
                if isinstance(event, ApplicationReceived):
                    yield event.plaintext
                break


def test_a_removed_admins_device_opens_nothing_later_with_everything_it_ever_held(
    world: World, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    held = every_copy(bob, [])
    rotated(world, alice)
    bob.device.catch_up()
    every_copy(bob, held)
    control = list(opened_by(held, alice.log(held[0].epoch - 1), bob))
    assert control  # the very same attack opens what was sent while he was a member

    assert world.operator(f"/groups/{GROUP}/remove", {"user": "bob"}).status_code == 200
    removal = alice.log()[-1]["index"]
    every_copy(bob, held)
    rotation_id = rotated(world, alice)
    alice.device.ack(rotation_id)
    later = alice.log(int(str(removal)) - 1)
    assert [entry["kind"] for entry in later] == ["commit", "commit", "notice"]
    assert list(opened_by(held, later, bob)) == []
    assert bob.device.catch_up() == []
    assert bob.told[-1] == "This device was removed from the group."
    assert any("was removed" in sentence for sentence in alice.told)


def test_a_removed_admins_late_ack_is_refused_in_every_form(world: World, people: tuple[Person, Person]) -> None:
    alice, bob = people
    world.add_client("second-client")
    rotation_id = rotated(world, alice, "second-client")
    bob.device.catch_up()
    notice, seat = bob.device.notice(rotation_id), bob.seat
    signer = bob.device.context.signer
    ack = ack_event(signer, notice.acknowledgement(signer.public_key, signer.now()), notice.require_secret())
    answer = world.operator(f"/groups/{GROUP}/remove", {"user": "bob"}).json
    assert answer is not None
    assert answer["canceled"] == [rotation_id]

    _, message = seat.group.encrypt(mls_payload(ack), random=os.urandom)
    for event in (ack, envelope_event(bob.device.context.signer, GROUP, message)):
        refused = world.send(event)
        assert refused.status_code in {401, 403, 409}
    with pytest.raises(ServerRefusedError):
        bob.device.ack(rotation_id)
    rotation = alice.device.rotation(rotation_id)
    assert (rotation["outcome"], rotation["acks"]) == ("canceled", [])
    assert Phase(str(rotation["phase"])) is Phase.COMPLETED


# --- absence


def test_a_device_that_was_offline_for_200_epochs_catches_up_at_once(
    world: World, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    epoch = bob.seat.group.epoch
    last = ""
    for turn in range(200):
        world.clock.advance(seconds=1)
        if turn % 20 == 0:
            last = rotated(world, alice)
            alice.device.ack(last)
        else:
            alice.device.refresh(GROUP)
    told: list[tuple[str, int, int]] = []
    notices = bob.device.catch_up(lambda *progress: told.append(progress))
    assert len(notices) == 10
    assert bob.seat.group.epoch == epoch + 200
    assert is_in_step(world, bob)
    assert told
    assert {(group, of) for group, _, of in told} == {(GROUP, epoch + 200)}
    assert [reached for _, reached, _ in told] == sorted(reached for _, reached, _ in told)
    assert not [incident for incident in bob.heard if incident.is_fault]
    assert bob.device.notice(last).secret == alice.device.notice(last).secret


def test_a_silent_device_loses_its_leaf_and_comes_back_by_itself(world: World, people: tuple[Person, Person]) -> None:
    alice, bob = people
    kept = rotated(world, alice)
    bob.device.catch_up()
    for _ in range(4):
        world.clock.advance(days=8)
        alice.device.catch_up()
        world.sweep()
    alice.device.catch_up()
    shown = alice.device.group(GROUP)
    assert [member["user"] for member in answers.mappings(shown, "members")] == ["alice"]
    assert [member["user"] for member in answers.mappings(shown, "absent")] == ["bob"]
    assert any(sentence.startswith("bob (npub1") and "was removed" in sentence for sentence in alice.told)

    bob.device.catch_up()
    assert any("came back with new keys" in sentence for sentence in bob.told)
    assert is_in_step(world, bob)
    rotation_id = rotated(world, alice)
    assert bob.device.ack(rotation_id)["outcome"] == "promoted"
    assert kept not in {notice.rotation_id for notice in bob.device.inbox()}  # over after a week, as everywhere


def test_a_member_that_stays_renews_its_keys_by_itself(world: World, people: tuple[Person, Person]) -> None:
    alice, _ = people
    world.clock.advance(days=8)
    alice.device.catch_up()
    (shown,) = (item for item in answers.mappings(alice.device.group(GROUP), "members") if item["npub"] == alice.npub)
    assert shown["updated_at"] == world.milliseconds()
    assert is_in_step(world, alice)


# --- copies


def test_a_device_whose_state_was_rolled_back_says_so_and_comes_back(
    world: World, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    shutil.copytree(bob.folder, world.folder / "copy")
    first = rotated(world, alice)
    bob.device.ack(first)
    shutil.rmtree(bob.folder)
    (world.folder / "copy").rename(bob.folder)

    bob.again()
    assert "older copy" in bob.told[-1]
    second = rotated(world, alice)
    assert bob.device.ack(second)["outcome"] == "promoted"
    assert any("came back with new keys" in sentence for sentence in bob.told)
    assert is_in_step(world, bob)
    third = rotated(world, bob)
    assert bob.device.ack(third)["outcome"] == "promoted"
    assert {notice.rotation_id for notice in bob.device.inbox()} >= {first, second}
    alice.device.catch_up()
    assert any("came back with new keys" in sentence for sentence in alice.told)


def test_after_a_restore_of_the_store_devices_come_back_to_a_group_founded_anew(
    world: World, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    kept = rotated(world, alice)
    bob.device.ack(kept)
    world.suite.freeze.freeze("restored")
    with pytest.raises(ServerRefusedError) as refused:
        alice.device.rotate(CLIENT, "while frozen")
    assert refused.value.error == "unavailable"
    assert world.suite.freeze.thaw() == [GROUP]
    for person in people:
        person.device.catch_up()
    for person in people:
        person.device.catch_up()
        assert is_in_step(world, person)
    assert bob.device.notice(kept).secret is not None
    rotation_id = rotated(world, alice)
    assert bob.device.ack(rotation_id)["outcome"] == "promoted"


# --- forgery


def test_a_member_cannot_fill_the_groups_document_with_its_leaf(
    world: World, people: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, mallory = people
    mallory.device.catch_up()
    group = mallory.seat.group
    with monkeypatch.context() as hostile:
        hostile.setattr(commit_creation, "next_leaf", _large_leaf)
        made = group.commit(random=os.urandom, now=world.clock())
    assert made.group.leaf_bytes(group.own_leaf_index) > 10_000
    refused = world.send(envelope_event(mallory.device.context.signer, GROUP, made.message))
    assert (refused.status_code, (refused.json or {}).get("reason")) == (403, "forbidden_change")
    assert alice.device.ack(rotated(world, alice))["outcome"] == "promoted"


def test_a_device_cannot_join_with_a_large_leaf(
    world: World, people: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = people
    with monkeypatch.context() as hostile:
        hostile.setattr(leaf_node, "sent_capabilities", lambda _: _many_capabilities())
        with pytest.raises(ServerRefusedError) as refused:
            Person(world, "mallory").join()
    assert refused.value.reason == "bad_key_package"
    assert alice.device.ack(rotated(world, alice))["outcome"] == "promoted"


def _many_capabilities() -> Capabilities:
    """Return capabilities that are valid, and list 5,000 extensions that nobody knows."""
    return replace(leaf_node.SUPPORTED, extensions=(*leaf_node.SUPPORTED.extensions, *range(0xB000, 0xB000 + 5000)))


def _large_leaf(old: LeafNode, *further: Any) -> LeafNode:  # noqa: ANN401 - passed on as they are
    return leaf_node.next_leaf(replace(old, capabilities=_many_capabilities()), *further)


@pytest.mark.parametrize("change", ["remove", "add"])
def test_a_members_change_of_membership_is_refused_and_audited_and_the_group_goes_on(
    world: World, people: tuple[Person, Person], change: str
) -> None:
    alice, mallory = people
    mallory.device.catch_up()
    alice.device.catch_up()
    group, now = mallory.seat.group, world.clock()
    if change == "remove":
        made = group.commit(random=os.urandom, now=now, remove=[alice.seat.group.own_leaf_index])
    else:
        stranger = Enrolment(Person(world, "stranger").device.context)._fresh_key_package()
        made = group.commit(random=os.urandom, now=now, add=[stranger.key_package])
    before = len(alice.log())
    refused = world.send(envelope_event(mallory.device.context.signer, GROUP, made.message))
    assert refused.status_code == 403
    assert refused.json is not None
    assert refused.json["reason"] == "forbidden_change"
    assert "refuse_commit" in {entry["action"] for entry in world.audited(f"_group:{GROUP}")}
    assert len(alice.log()) == before

    rotation_id = rotated(world, alice)
    assert mallory.device.ack(rotation_id)["outcome"] == "promoted"
    alice.device.catch_up()
    assert is_in_step(world, alice)


# --- path updates and crashes


def test_own_path_updates_in_the_middle_of_acks(world: World, people: tuple[Person, Person]) -> None:
    alice, bob = people
    world.add_client("both-acks", policy={"quorum": 2})
    carol = Person(world, "carol").join()
    rotation_id = rotated(world, alice, "both-acks")
    carol.device.catch_up()
    bob.device.catch_up()
    bob.device.refresh(GROUP)
    assert carol.device.ack(rotation_id)["acks"] == 1  # of the epoch before
    carol.device.refresh(GROUP)
    assert bob.device.ack(rotation_id)["outcome"] == "promoted"
    for person in (alice, bob, carol):
        person.device.catch_up()
        assert is_in_step(world, person)


@pytest.mark.parametrize("arrives", [False, True])
def test_a_device_that_dies_in_the_middle_of_an_ack_sends_the_same_bytes_and_counts_once(
    world: World, people: tuple[Person, Person], *, arrives: bool
) -> None:
    alice, bob = people
    rotation_id = rotated(world, alice)
    bob.device.catch_up()
    bob.line.cut_before, bob.line.cut_after = not arrives, arrives
    bob.line.commands.clear()
    with pytest.raises(UnreachableError):
        bob.device.ack(rotation_id)
    bob.line.cut_before = bob.line.cut_after = False
    bob.again()
    assert bob.device.ack(rotation_id)["outcome"] == "promoted"
    assert bob.line.commands[0] in bob.line.commands[1:]
    assert len(answers.mappings(alice.device.rotation(rotation_id), "acks")) == 1


@pytest.mark.parametrize("arrives", [False, True])
def test_a_device_that_dies_in_the_middle_of_a_path_update_ends_with_new_keys(
    world: World, people: tuple[Person, Person], *, arrives: bool
) -> None:
    alice, bob = people
    bob.device.catch_up()
    epoch = bob.seat.group.epoch
    bob.line.cut_before, bob.line.cut_after = not arrives, arrives
    with pytest.raises(UnreachableError):
        bob.device.refresh(GROUP)
    assert bob.seat.group.epoch == epoch
    bob.line.cut_before = bob.line.cut_after = False
    bob.again()
    bob.device.refresh(GROUP)
    assert is_in_step(world, bob)
    assert bob.seat.group.epoch == epoch + (2 if arrives else 1)
    assert alice.device.catch_up() == []
    assert is_in_step(world, alice)


def test_a_path_update_that_loses_against_a_notice_is_tried_again(world: World, people: tuple[Person, Person]) -> None:
    alice, bob = people
    bob.device.catch_up()
    bob.line.cut_before = True
    with pytest.raises(UnreachableError):
        bob.device.refresh(GROUP)
    waiting = bob.seat.pending_update
    rotation_id = rotated(world, alice)
    bob.line.cut_before = False
    bob.again()
    assert waiting is not None
    assert [notice.rotation_id for notice in bob.device.catch_up()] == [rotation_id]
    assert bob.seat.pending_update is None
    bob.device.refresh(GROUP)
    assert is_in_step(world, bob)
