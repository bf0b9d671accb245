from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.world import World


@pytest.fixture
def world(world: World) -> World:
    """Found a world with two people, a client that has no secret yet, and one that presents an API key."""
    world.found("alice", "bob")
    world.add_client("key-integrations", kind="x_api_key")
    return world
