"""The file of a long campaign: several runs of `make simulate` add up in it.

The file is replaced as a whole, so that a run that is stopped leaves what was saved last. It belongs to one state of
the code: what other code has shown does not count.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.campaign import Campaign
from tests.simulation.faults import Fault
from tests.simulation.oracle import Violation
from tests.simulation.situations import Edge, Place, Situation

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
SOURCES = ("shared/keyturn", "functions", "tests/simulation", "requirements.txt", "tests/memory_store.py")
"""What decides the result of a seed. Test modules are left out."""


class ReportError(Exception):
    """The file cannot be written, is no report, or is the report of other code."""


def code_digest(root: Path = ROOT) -> str:
    """Return SHA-256 of the code that a seed runs, in hex."""
    digest = hashlib.sha256()
    for source in SOURCES:
        start = root / source
        files = [start] if start.is_file() else sorted(start.rglob("*.py"))
        for path in files:
            if not path.name.startswith("test_"):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def load_report(path: Path, code: str) -> Campaign:
    """Return the campaign in a file, or an empty one if there is no file. Raises `ReportError`."""
    if not path.absolute().parent.is_dir():  # now, and not after the first hundred seeds
        message = f"The folder of {path} does not exist. Create it first."
        raise ReportError(message)
    if not path.exists():
        return Campaign()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["code"] != code:
            message = f"{path} is the report of other code. Name another file, or delete this one."
            raise ReportError(message)
        return Campaign(
            ran={seed for first, last in data["ran"] for seed in range(first, last + 1)},
            seconds=data["seconds"],
            steps=data["steps"],
            attempts=data["attempts"],
            aimed=Counter({_situation(cell): times for *cell, times in data["aimed"]}),
            filled={_situation(cell) for cell in data["filled"]},
            faults=Counter({Fault(name): times for name, times in data["faults"].items()}),
            counts=Counter(data["counts"]),
            violations=[(seed, Violation(rule, sentence, at)) for seed, rule, sentence, at in data["violations"]],
            crashes=[(seed, text) for seed, text in data["crashes"]],
            kinds=set(data["kinds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path} is not the report of a campaign."
        raise ReportError(message) from error


def save_report(path: Path, campaign: Campaign, code: str) -> None:
    """Replace the file."""
    data = {
        "code": code,
        "ran": ranges(campaign.ran),
        "seconds": campaign.seconds,
        "steps": campaign.steps,
        "attempts": campaign.attempts,
        "aimed": sorted([*_cell(situation), times] for situation, times in campaign.aimed.items()),
        "filled": sorted(_cell(situation) for situation in campaign.filled),
        "faults": {fault.value: times for fault, times in campaign.faults.items()},
        "counts": dict(campaign.counts),
        "violations": [[seed, item.rule, item.sentence, item.at] for seed, item in campaign.violations],
        "crashes": campaign.crashes,
        "kinds": sorted(campaign.kinds),
    }
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(path)


def ranges(seeds: Iterable[int]) -> list[tuple[int, int]]:
    """Return sorted numbers as ranges, each with its first and its last number."""
    ordered = sorted(seeds)
    if not ordered:
        return []
    gaps = [(before, after) for before, after in pairwise(ordered) if after != before + 1]
    firsts = [ordered[0], *(after for _, after in gaps)]
    lasts = [*(before for before, _ in gaps), ordered[-1]]
    return list(zip(firsts, lasts, strict=True))


def _cell(situation: Situation) -> list[str]:
    return [situation.row, situation.edge.value, situation.place.value, situation.fault.value]


def _situation(cell: list[str]) -> Situation:
    row, edge, place, fault = cell
    return Situation(row, Edge(edge), Place(place), Fault(fault))
