"""The fixed part of the simulation: these seeds keep every promise. `make simulate` runs more (docs/reliability.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.campaign import tell_seed
from tests.simulation.run import run_seed

if TYPE_CHECKING:
    from tests.simulation.run import Template

SEEDS = 40


@pytest.mark.parametrize("tens", range(0, SEEDS, 10))
def test_ten_seeds_keep_every_promise(template: Template, tens: int) -> None:
    for seed in range(tens, tens + 10):
        result = run_seed(seed, template)
        assert not result.violations, tell_seed(seed)
        assert result.counts["probes"] or not result.filled
