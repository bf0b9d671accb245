"""Envelopes: a command inside MLS counts once, and is answered as often as it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functions.envelopes import envelope, inside

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


def test_the_same_message_in_another_envelope_counts_no_second_time(world: World) -> None:
    alice = world.admins["alice"]
    message = inside(alice, alice.rotation())
    answered(world, envelope(world, message))
    again = world.send(envelope(world, message))
    assert (again.status_code, (again.json or {})["reason"]) == (400, "bad_message")


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
