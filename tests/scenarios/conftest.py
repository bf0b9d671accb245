from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.world import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.world import World


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Run a world that nothing is founded in yet; over the store that the test names, or in memory."""
    with running(tmp_path, getattr(request, "param", "memory")) as world:
        yield world
