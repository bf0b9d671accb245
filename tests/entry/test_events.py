"""What a door that is woken answers whoever delivers: taken, or again later, by the class of what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.domain.errors import Broken, Conflict, NotFound, RateLimited, Unavailable
from shared.ports.bus import BusUnavailable
from shared.ports.store import StoreUnavailable
from tests.world import World, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGAIN: dict[str, tuple[Exception, int]] = {
    "the bus does not answer": (BusUnavailable("down"), 503),
    "the store does not answer": (StoreUnavailable("down"), 503),
    "not now": (Unavailable("contended", "Too many changes at once."), 503),
    "too often": (RateLimited("rate", "Too many requests.", retry_after_seconds=1), 429),
    "a damaged store": (Broken("damaged"), 500),
    "a bug": (KeyError("bug"), 500),
}
NEVER: dict[str, Exception] = {
    "there is no such thing": NotFound("unknown_client", "There is no such client."),
    "the state does not allow it": Conflict("rotation_not_open", "The rotation is not open any more."),
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(tmp_path) as world:
        world.found("alice", "bob")
        assert world.send(world.admins["alice"].rotation()).status_code == 200
        yield world


@pytest.mark.parametrize("name", AGAIN)
def test_what_may_go_better_later_is_delivered_again(world: World, name: str) -> None:
    (written,) = world.queue
    world.bus.down, status = AGAIN[name]
    assert world.deliver(written).status_code == status
    world.bus.down = None
    assert world.deliver(written).json == {"published": True}


@pytest.mark.parametrize("name", NEVER)
def test_what_would_be_refused_again_is_not(world: World, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (written,) = world.queue
    world.bus.down = refusal = NEVER[name]
    answer = world.deliver(written)
    reason = getattr(refusal, "reason", "")
    assert (answer.status_code, answer.json) == (200, {"dropped": reason})
    assert caplog.messages == [f"an event was dropped: {reason}"]
