from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.world import World


@pytest.fixture
def issued(world: World) -> World:
    """Have a client with one version, current for an hour, and three people behind it."""
    world.found("alice", "bob", "carol")
    world.first = world.issue("alice", "bob")  # type: ignore[attr-defined]  # handed to the test
    world.clock.advance(hours=1)
    return world


@pytest.fixture
def rotated(issued: World) -> World:
    """Have a second version current and the first in grace."""
    issued.second = issued.issue("alice", "carol")  # type: ignore[attr-defined]  # handed to the test
    issued.clock.advance(minutes=1)
    return issued
