"""Answers of commands, and the state of two secrets, as the tests of commands read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event

    from tests.world import World


def answer_of(world: World, event: Event) -> dict[str, Any]:
    answer = world.send(event)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json)


def reason_of(world: World, event: Event) -> tuple[int, str]:
    answer = world.send(event)
    return answer.status_code, str(cast("dict[str, Any]", answer.json)["reason"])


def act(world: World, user: str, action: str, **params: object) -> dict[str, Any]:
    return answer_of(world, world.admins[user].action(action, params))


def secrets(world: World) -> tuple[str, str]:
    return cast("Any", world).first, cast("Any", world).second


def state_of(world: World, secret: str) -> str | None:
    verdict = world.check(secret)
    return str(verdict["state"]) if verdict["accepted"] else None


def states(world: World) -> tuple[str | None, str | None]:
    """Return in which state the first and the second secret are accepted, None where they are not."""
    first, second = secrets(world)
    return state_of(world, first), state_of(world, second)
