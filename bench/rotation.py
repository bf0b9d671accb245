"""Row: a rotation from accepted to readable, against the sum of its bare parts, measured alone in the same run.

Three devices in one group, a fresh client each time, embedded store, real doors over loopback HTTP. 25 rotations after
a warm-up of 4, the parts right after each of them; the ratio is the median of those of each rotation with its parts, so
that a busy moment of the disk hits both. The clock runs from the answer to the request until the notice can be read;
delivery begins a moment earlier, with the commit that accepted: the same from there on is reported as `from_commit`.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.rotation_parts import parts
from bench.rotation_stage import raised
from bench.rows import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.rotation_stage import Way

ROUNDS = 25
WARM_UP = 4


def rotation_vs_floor(folder: Path) -> Measured:
    """Return the time of a rotation over that of its parts; each part is reported."""
    with raised(folder) as stage, parts(stage.suite, folder) as bare:
        ways: list[Way] = []
        floors: list[Mapping[str, float]] = []
        for turn in range(WARM_UP + ROUNDS):
            stage.add(f"client-{turn:03d}")
            way = stage.rotate(f"client-{turn:03d}")
            ways.append(way)
            floors.append(bare.times(way.readable.writes))
    floor = [sum(times.values()) for times in floors[WARM_UP:]]
    answered = [way.milliseconds for way in ways[WARM_UP:]]
    committed = [way.milliseconds_from_commit for way in ways[WARM_UP:]]
    names = {f"part_{name}_ms": median(times[name] for times in floors[WARM_UP:]) for name in floors[0]}
    spans = {"rotation_ms": median(answered), "from_commit_ms": median(committed), "floor_ms": median(floor)}
    return Measured(_ratio(answered, floor), {**spans, "from_commit_ratio": _ratio(committed, floor), **names})


def _ratio(whole: Sequence[float], floor: Sequence[float]) -> float:
    return median(way / parts for way, parts in zip(whole, floor, strict=True))
