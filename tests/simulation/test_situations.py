"""The simulator knows every row of the lifecycle table, and a campaign aims at every situation that can be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain import lifecycle

from tests.simulation.faults import Fault
from tests.simulation.rows import PERFORM
from tests.simulation.run import SITUATIONS_A_SEED
from tests.simulation.situations import ROWS, TIMED, Edge, all_situations, reachable, reason_unreachable, targets

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_UNREACHABLE = 0.05


def test_simulator_tries_every_row_of_the_lifecycle_table() -> None:
    assert set(PERFORM) == {row.__name__ for row in lifecycle.TABLE} | set(TIMED)


def test_situations_are_generated_from_the_table() -> None:
    cells = list(all_situations())
    assert len(cells) == (len(ROWS) + 1) * len(Edge) * 3 * len(Fault)
    assert len(set(cells)) == len(cells)


def test_few_situations_are_unreachable_and_each_has_a_reason() -> None:
    cells = list(all_situations())
    assert len(reachable()) >= (1 - MOST_UNREACHABLE) * len(cells)
    assert all(reason_unreachable(cell) for cell in set(cells) - set(reachable()))


def test_consecutive_seeds_aim_at_every_reachable_situation() -> None:
    needed = -(-len(reachable()) // SITUATIONS_A_SEED)
    aimed: Sequence[object] = [cell for seed in range(needed) for cell in targets(seed, SITUATIONS_A_SEED)]
    assert set(aimed) == set(reachable())
