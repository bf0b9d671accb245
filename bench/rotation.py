"""Row: a rotation from accepted to readable, against the sum of its bare parts, measured alone in the same run.

Three devices in one group, a fresh client each time, embedded store, real functions over loopback HTTP. 25 rotations
after a warm-up of 4, the parts right after each of them. The ratio is the median of the ratios of each rotation to its
parts, so that a busy moment of the disk affects both. The clock runs from the answer to the request until the notice is
readable. Delivery begins a moment earlier, with the accepting commit: `from_commit` reports the time from there.
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
    """Return the time of a rotation over the sum of its parts. Each part is reported."""
    with raised(folder) as stage, parts(stage.suite, folder) as bare:
        ways: list[Way] = []
        floors: list[Mapping[str, float]] = []
        for turn in range(WARM_UP + ROUNDS):
            stage.add(f"client-{turn:03d}")
            way = stage.rotate(f"client-{turn:03d}")
            ways.append(way)
            floors.append(bare.times(way.readable.writes))
    floor = [sum(times.values()) for times in floors[WARM_UP:]]
    answer_times = [way.milliseconds for way in ways[WARM_UP:]]
    committed = [way.milliseconds_from_commit for way in ways[WARM_UP:]]
    names = {f"part_{name}_ms": median(times[name] for times in floors[WARM_UP:]) for name in floors[0]}
    spans = {"rotation_ms": median(answer_times), "from_commit_ms": median(committed), "floor_ms": median(floor)}
    return Measured(_ratio(answer_times, floor), {**spans, "from_commit_ratio": _ratio(committed, floor), **names})


def _ratio(whole: Sequence[float], floor: Sequence[float]) -> float:
    return median(way / parts for way, parts in zip(whole, floor, strict=True))
