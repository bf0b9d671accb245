"""Envelopes: a command inside MLS counts once, and is answered as often as it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from keyturn.mls.secret_tree import MOST_SKIPPED
from keyturn.ports.store import delete
from keyturn.records import paths

from tests.functions.envelopes import envelope, inside, many_inside
from tests.world import GROUP

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event

    from tests.world import World

pytestmark = pytest.mark.world("alice", "bob", "carol")


def answered(world: World, event: Event) -> dict[str, Any]:
    answer = world.send(event)
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


def test_the_same_envelope_again_gets_the_same_answer(world: World) -> None:
    alice = world.admins["alice"]
    sent = envelope(world, inside(alice, alice.rotation()))
    first = answered(world, sent)
    world.pump()
    assert answered(world, sent) == first


def test_the_same_message_in_another_envelope_gets_the_same_answer_and_changes_nothing(world: World) -> None:
    alice = world.admins["alice"]
    message = inside(alice, alice.rotation())
    first = answered(world, envelope(world, message))
    world.pump()
    before = world.dump()
    assert answered(world, envelope(world, message)) == first
    assert world.dump() == before


def test_a_message_that_is_sent_again_a_day_later_is_refused(world: World) -> None:
    alice = world.admins["alice"]
    message = inside(alice, alice.rotation())
    answered(world, envelope(world, message))
    world.clock.advance(hours=25)
    answers = [path for path in world.documents() if path.startswith("events/")]
    snapshot = world.control.inner.get(answers)
    world.control.inner.commit([delete(snapshot[path]) for path in answers])  # as the store does after a day
    again = world.send(envelope(world, message))
    assert (again.status_code, (again.json or {})["reason"]) == (400, "stale_event")


def state_of_group(world: World) -> dict[str, Any]:
    return world.document(paths.group(GROUP))


def test_a_command_does_not_write_the_group(world: World) -> None:
    alice = world.admins["alice"]
    sent = envelope(world, inside(alice, alice.rotation()))
    before = state_of_group(world)
    answered(world, sent)
    assert state_of_group(world) == before


def test_a_member_that_sends_a_hundred_messages_has_the_group_saved(world: World) -> None:
    alice = world.admins["alice"]
    messages = many_inside(alice, alice.rotation(), 1000 + MOST_SKIPPED)
    before = state_of_group(world)

    first = answered(world, envelope(world, messages[MOST_SKIPPED - 1]))
    assert state_of_group(world)["generation"] == before["generation"] + 1

    # A message that was jumped over is opened, and so is one that is 1,000 generations ahead of the saved state.
    assert answered(world, envelope(world, messages[0])) == first
    assert answered(world, envelope(world, messages[-1])) == first


def test_a_message_for_another_group_is_refused(world: World) -> None:
    world.operator("/groups", {"group_id": "others"})
    alice = world.admins["alice"]
    refused = world.send(envelope(world, inside(alice, alice.rotation()), group="others"))
    assert (refused.status_code, (refused.json or {})["reason"]) == (400, "bad_message")


def test_a_refused_envelope_consumes_nothing(world: World) -> None:
    alice = world.admins["alice"]
    sent = envelope(world, inside(alice, alice.rotation(client_id="nobody")))
    before = world.dump()
    refused = world.send(sent)
    assert refused.status_code == 404
    assert world.dump() == before
