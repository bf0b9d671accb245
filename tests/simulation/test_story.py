"""The story of a broken promise: who did what, the fault, and the observation that contradicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.planted import DEFECTS
from tests.simulation.run import run_seed
from tests.simulation.story import tell

if TYPE_CHECKING:
    import pytest

    from tests.simulation.run import Template


def test_story_names_the_promise_the_fault_and_what_was_seen(
    template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect = next(item for item in DEFECTS if item.name.startswith("a rollback"))
    defect.plant(monkeypatch)
    results = (run_seed(seed, template, cells=defect.cells, trial="") for seed in range(12))
    result = next(item for item in results if item.violations)
    story = tell(result, result.violations[0], "make simulate SEED=0")
    assert story.startswith(f"Seed {result.seed} breaks the promise: dead stays dead.\nSeen at day 0, ")
    assert "  FAULT " in story
    assert "sends rollback for" in story
    assert story.endswith("Run it again: make simulate SEED=0")
    assert len(story.splitlines()) < 60
