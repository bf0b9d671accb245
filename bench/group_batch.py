"""Row: commits a batch. Four workers want one group, 1 000 rotations come, and 40 times a worker is killed.

A batch is what one commit of the group sends: a path update and all notices that wait. A worker that loses the race for
it throws its work away, so what is attempted over what won says how much is done in vain.
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
    sent = send(folder, rotations=ROTATIONS, workers=WORKERS, kills=KILLS, seed=SEED)
    if not sent.each_once or sent.dead or not sent.agree:
        raise BrokenPromiseError
    parts = {"rotations": ROTATIONS, "batches": sent.batches, "attempted": sent.attempted, "kills": sent.kills}
    return Measured(sent.commits_a_batch, parts)
