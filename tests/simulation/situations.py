"""Situations: each row of the lifecycle table x before, at and after each edge of time x kind of fault.

A campaign counts which of them it has met. One that it has not met proves nothing, so it fails.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle

from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Edge(StrEnum):
    """The instants at which time alone changes a client (docs/protocol.md §4)."""

    GRACE_END = "end of grace"
    PROMOTION = "promotion"
    ACK_DEADLINE = "acknowledgement deadline"
    DISTRIBUTE_DEADLINE = "distribution deadline"
    PROMOTE_DEADLINE = "promotion deadline"


class Place(StrEnum):
    """Where an attempt is: it ends before the edge, contains it, or begins after it."""

    BEFORE = "before"
    AT = "at"
    AFTER = "after"


ROWS: Sequence[str] = tuple(row.__name__ for row in lifecycle.TABLE)
TIMED = ("Promote", "Expire", "RetireElapsed")
"""What time alone brings. The sweeper writes it down."""
NEAR_SECONDS = 90.0
"""How far from an edge an attempt may be, to count as before or after it: longer than the margin (§4)."""


@dataclass(frozen=True, order=True)
class Situation:
    """One cell of the table."""

    row: str
    edge: Edge
    place: Place
    fault: Fault

    def __str__(self) -> str:
        return f"{self.row} {self.place.value} {self.edge.value}, {self.fault.value}"


def timed_row(edge: Edge) -> str:
    """Return what time alone brings at an edge."""
    return {Edge.GRACE_END: "RetireElapsed", Edge.PROMOTION: "Promote"}.get(edge, "Expire")


def all_situations() -> Iterator[Situation]:
    """Yield every cell that the table generates."""
    for row, edge, place, fault in product(ROWS, Edge, Place, Fault):
        yield Situation(row, edge, place, fault)
    for edge, place, fault in product(Edge, Place, Fault):
        yield Situation(timed_row(edge), edge, place, fault)


def reason_unreachable(cell: Situation) -> str:
    """Return why a cell can't be met, or "" if it can."""
    for (row, faults), reason in UNREACHABLE.items():
        if row in {cell.row, ""} and cell.fault in faults:
            return reason
    if cell.row in TIMED and cell.place is Place.BEFORE:
        return "what time alone brings is never written before its time"
    return ""


UNREACHABLE: Mapping[tuple[str, frozenset[Fault]], str] = {}


@functools.cache
def reachable() -> Sequence[Situation]:
    """Return every cell that a campaign must meet."""
    return [cell for cell in all_situations() if not reason_unreachable(cell)]


def targets(seed: int, count: int) -> list[Situation]:
    """Return the cells that a seed aims at. Consecutive seeds go through all of them, in a mixed order."""
    cells = reachable()
    # A stride without a common divisor visits each cell once in each pass.
    stride = _coprime(len(cells))
    return [cells[((seed * count + index) * stride) % len(cells)] for index in range(count)]


def _coprime(size: int) -> int:
    stride = 1009
    while size % stride == 0:
        stride += 2
    return stride
