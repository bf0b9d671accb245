"""Defects that were once found in review are found by the simulator, each within a few seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.planted import DEFECTS, Defect
from tests.simulation.run import run_seed

if TYPE_CHECKING:
    from tests.simulation.run import Template

SEEDS = 12
SEEDS_WITHOUT = 2


def rules_broken(template: Template, defect: Defect, seeds: int = SEEDS) -> tuple[int, set[str]]:
    """Return the first seed that finds a defect, and the rules that it breaks."""
    for seed in range(seeds):
        result = run_seed(seed, template, cells=defect.cells, trial=defect.trial)
        if result.violations:
            return seed, {violation.rule for violation in result.violations}
    return seeds, set()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_planted_defect_is_found(
    template: Template, crowd: Template, defect: Defect, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect.plant(monkeypatch)
    _, rules = rules_broken(crowd if defect.people > 3 else template, defect)
    assert rules & defect.rules, rules


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_without_the_defect_the_same_seeds_keep_every_promise(
    template: Template, crowd: Template, defect: Defect, monkeypatch: pytest.MonkeyPatch
) -> None:
    if defect.limit is not None:
        defect.limit(monkeypatch)
    assert rules_broken(crowd if defect.people > 3 else template, defect, SEEDS_WITHOUT) == (SEEDS_WITHOUT, set())
