"""Row: commits a batch. Four workers compete for one group, 1 000 rotations arrive, and 40 times a worker is killed.

One commit of the group sends a batch: a path update and all waiting notices. A worker that loses the race discards its
work, so the ratio of attempted to won commits shows the wasted work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.distribute_stage import send
from bench.rows import Measured

if TYPE_CHECKING:
    from pathlib import Path

ROTATIONS = 1000
WORKERS = 4
KILLS = 40
SEED = 1


class BrokenPromiseError(Exception):
    """A notice was lost or sent twice, a message is dead, or devices disagree: no ratio can make up for that."""


def group_batch_commits(folder: Path) -> Measured:
    """Return how many commits of the group are attempted for each that wins."""
    run_result = send(folder, rotations=ROTATIONS, workers=WORKERS, kills=KILLS, seed=SEED)
    if not run_result.each_once or run_result.dead or not run_result.agree:
        raise BrokenPromiseError
    parts = {
        "rotations": ROTATIONS,
        "batches": run_result.batches,
        "attempted": run_result.attempted,
        "kills": run_result.kills,
    }
    return Measured(run_result.commits_a_batch, parts)
