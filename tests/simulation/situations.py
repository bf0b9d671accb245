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

from tests.simulation.faults import OF_COMMITS, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    """Return why a cell can't be met, or "" if it can: a commit can't go wrong where there is none."""
    if cell.fault not in OF_COMMITS:
        return ""
    return next((item.reason for item in WITHOUT_COMMIT if item.covers(cell)), "")


@dataclass(frozen=True)
class WithoutCommit:
    """Rows that commit nothing at some edges, and why."""

    rows: frozenset[str]
    edges: frozenset[Edge]
    places: frozenset[Place]
    reason: str

    def covers(self, cell: Situation) -> bool:
        """Return whether a cell is one of these."""
        return cell.row in self.rows and cell.edge in self.edges and cell.place in self.places


_OF_ROTATIONS = frozenset(Edge) - {Edge.GRACE_END}
_DISTRIBUTED = _OF_ROTATIONS - {Edge.DISTRIBUTE_DEADLINE}
_BEFORE, _AT, _AFTER = (frozenset({place}) for place in Place)
WITHOUT_COMMIT: Sequence[WithoutCommit] = (
    WithoutCommit(frozenset({"Request"}), _OF_ROTATIONS, _BEFORE, "refused while a rotation is active"),
    WithoutCommit(frozenset({"Rollback", "Restore"}), _OF_ROTATIONS, _BEFORE, "refused while a rotation is active"),
    WithoutCommit(
        frozenset({"Rollback", "Restore"}),
        frozenset({Edge.GRACE_END}),
        _AT | _AFTER,
        "refused within the margin and after the end of grace",
    ),
    WithoutCommit(frozenset({"Retire"}), frozenset({Edge.GRACE_END}), _AFTER, "refused: no version is in grace"),
    WithoutCommit(frozenset({"Cancel", "Acknowledge"}), _OF_ROTATIONS, _AFTER, "refused: the rotation has ended"),
    WithoutCommit(
        frozenset({"Acknowledge"}),
        frozenset({Edge.DISTRIBUTE_DEADLINE}),
        _BEFORE | _AT,
        "refused: there is no secret yet",
    ),
    WithoutCommit(frozenset({"Distribute"}), _DISTRIBUTED, frozenset(Place), "a rotation is distributed once"),
    WithoutCommit(frozenset({"Distribute"}), frozenset({Edge.DISTRIBUTE_DEADLINE}), _AFTER, "the rotation has expired"),
    WithoutCommit(
        frozenset({"Resume"}),
        frozenset({Edge.PROMOTE_DEADLINE}),
        frozenset(Place),
        "refused: a rotation that waits for canaries ends with the suspension",
    ),
    WithoutCommit(
        frozenset({"CountCanaries"}), frozenset({Edge.DISTRIBUTE_DEADLINE}), _BEFORE, "there is no secret to prove"
    ),
    WithoutCommit(frozenset(TIMED), frozenset(Edge), _BEFORE, "what time alone brings is not written before its time"),
)


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
