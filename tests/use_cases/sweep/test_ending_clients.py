"""The sweep warns of clients whose credentials end soon, and of no other."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.encodings import to_milliseconds

from tests.world import EACH_STORE

if TYPE_CHECKING:
    from tests.world import World

pytestmark = [EACH_STORE, pytest.mark.world("alice", "bob")]
WORDS = "a client's credentials end soon: client "


def warnings(world: World, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "keyturn"):
        world.suite.distribution.sweep()
    return [record.getMessage() for record in caplog.records if WORDS in record.getMessage()]


def end(world: World, client_id: str, after: timedelta) -> None:
    ends_at = to_milliseconds(world.clock() + after)
    assert world.operator(f"/clients/{client_id}/access", {"valid_until": ends_at}).status_code == 200


def test_each_client_that_ends_within_two_weeks_is_named_once_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for client_id in ("soon", "later", "never", "revoked"):
        world.add_client(client_id)
    end(world, "soon", timedelta(days=13, hours=12))
    end(world, "later", timedelta(days=15))
    end(world, "revoked", timedelta(days=1))
    world.admins["alice"].device.command("revoke", "revoked", {"version_id": "all"}, "it left")
    assert warnings(world, caplog) == [f"{WORDS}soon, in 324 hours"]
    assert warnings(world, caplog) == []
    world.clock.advance(hours=1, seconds=1)
    assert warnings(world, caplog) == [f"{WORDS}soon, in 322 hours"]
    world.clock.advance(days=2)
    assert [line.split(",")[0] for line in warnings(world, caplog)] == [f"{WORDS}soon", f"{WORDS}later"]
    world.clock.advance(days=12)
    assert [line.split(",")[0] for line in warnings(world, caplog)] == [f"{WORDS}later"]
