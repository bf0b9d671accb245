"""`make load`: many rotations at once on Google's emulators, against the limits of a commit.

1. Rotations of clients in three groups, each with a version in grace, against as many without one: the time is at most
   three times as long.
2. Rotations that all wait in one group: at most 1.2 times the least number of commits that the limits allow.
3. Both again, with acknowledgements in envelopes.

Exit status 0 if all hold and no message is dead.
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.ports.store import MAX_WRITES
from rich.console import Console
from rich.table import Table

from bench.load_stage import HOUR_MILLISECONDS, POLICY, AckedBy, LoadResult, LoadStage, raised

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS = ("first-line", "second-line", "third-line")
SLOWEST_WITH_GRACE = 3.0
MOST_COMMITS = 1.2
WRITES_A_ROTATION = 5
"""Of a first secret in one group: client, version, rotation, audit entry and notice."""
FIXED_WRITES = 5
"""Group, roster, path update, and the marks of a copy and of a stop."""


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One line of the table: a ratio, its limit, and what it is made of."""

    name: str
    ratio: float
    limit: float
    result: LoadResult

    @property
    def holds(self) -> bool:
        """Whether the ratio is within the limit."""
        return self.ratio <= self.limit


def three_groups(stage: LoadStage, count: int, acked_by: AckedBy) -> LoadRow:
    """Rotate clients of three groups without and with a version in grace. The ratio is that of the times."""
    plain = stage.add_clients(f"plain-{acked_by}", count, GROUPS)
    graced = stage.add_clients(f"graced-{acked_by}", count, GROUPS)
    stage.rotate(plain, GROUPS[0], acked_by=AckedBy.EVENT)
    for _ in range(2):
        stage.rotate(graced, GROUPS[0], acked_by=AckedBy.EVENT, grace_milliseconds=HOUR_MILLISECONDS)
    without = stage.rotate(plain, GROUPS[0], acked_by=acked_by, are_held=True)
    with_grace = stage.rotate(graced, GROUPS[0], acked_by=acked_by, are_held=True)
    name = f"{count} in 3 groups with a version in grace, acknowledged by {acked_by}"
    return LoadRow(name, with_grace.seconds / without.seconds, SLOWEST_WITH_GRACE, with_grace)


def one_group(stage: LoadStage, count: int, acked_by: AckedBy) -> LoadRow:
    """Rotate clients of one group that all wait. The ratio is that of the commits to the least number."""
    clients = stage.add_clients(f"many-{acked_by}", count, GROUPS[:1])
    result = stage.rotate(clients, GROUPS[0], acked_by=acked_by, are_held=True)
    least = least_commits(count)
    return LoadRow(f"{count} in one group, acknowledged by {acked_by}", result.batches / least, MOST_COMMITS, result)


def least_commits(count: int) -> int:
    """Return how many commits so many first secrets of one group need, by the number of writes."""
    return math.ceil(count / ((MAX_WRITES - FIXED_WRITES) // WRITES_A_ROTATION))


def run(stage: LoadStage, few: int, many: int) -> list[LoadRow]:
    """Run all lines."""
    forms = (AckedBy.NOTHING, AckedBy.ENVELOPE)
    return [
        measure(stage, count, form) for form in forms for measure, count in ((three_groups, few), (one_group, many))
    ]


def table(rows: Sequence[LoadRow]) -> Table:
    """Return the rows as a table."""
    shown = Table("load", "ratio", "limit", "holds", "seconds", "batches", "attempted", "MAC calls", "refused by rate")
    for row in rows:
        result = row.result
        counts = (result.batches, result.counts.group_commits, result.counts.mac_calls, result.counts.refused)
        held = "yes" if row.holds else "NO"
        shown.add_row(row.name, f"{row.ratio:.2f}", f"≤ {row.limit}", held, f"{result.seconds:.1f}", *map(str, counts))
    return shown


def main(few: int = 50, many: int = 1000) -> int:
    """Run on emulators, print the table, and return the exit status."""
    from bench.load_emulators import LoadBackend, count_dead  # noqa: PLC0415 - Google's clients

    with tempfile.TemporaryDirectory(prefix="keyturn-load-") as name:
        folder = Path(name)
        backend = LoadBackend(folder / "data", POLICY, {})
        with raised(folder, GROUPS, backend) as stage:
            rows = run(stage, few, many)
            dead = count_dead(stage.suite)
    console = Console(width=160)
    console.print(table(rows))
    console.print(f"dead letters: {dead}")
    return 0 if all(row.holds for row in rows) and not dead else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
