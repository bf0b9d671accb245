"""The same seed is the same run: in this process, and in another one that hashes differently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.run import run_seed

if TYPE_CHECKING:
    from tests.simulation.run import Template

ROOT = Path(__file__).parents[2]
SEEDS = (3, 11)
PROGRAM = f"""
from tests.simulation.run import new_template, run_seed
template = new_template()
print(*[run_seed(seed, template).trace for seed in {SEEDS}])
"""


def traces_elsewhere(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True)  # noqa: S603 - our own program
    return done.stdout.split()


def test_the_same_seed_is_the_same_run(template: Template) -> None:
    here = [run_seed(seed, template).trace for seed in SEEDS]
    assert [run_seed(seed, template).trace for seed in SEEDS] == here
    assert [traces_elsewhere(hash_seed) for hash_seed in ("1", "2")] == [here, here]
    assert len(set(here)) == len(SEEDS)
