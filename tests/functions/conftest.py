from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.world import World, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Run a world with two people and a client that has no secret yet."""
    with running(tmp_path) as world:
        yield world.found("alice", "bob")
