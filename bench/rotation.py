"""Row: a rotation from accepted to readable, against the sum of its bare parts, measured alone in the same run.

Three devices in one group, a fresh client each time, embedded store, real doors over loopback HTTP. 25 rotations after
a warm-up of 4, the parts right after each of them; the ratio is the median of those of each rotation with its parts, so
that a busy moment of the disk hits both.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.rotation_parts import parts
from bench.rotation_stage import raised
from bench.rows import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROUNDS = 25
WARM_UP = 4


def rotation_vs_floor(folder: Path) -> Measured:
    """Return the time of a rotation over that of its parts; each part is reported."""
    with raised(folder) as stage, parts(stage.suite, folder) as bare:
        ways: list[float] = []
        floors: list[Mapping[str, float]] = []
        for turn in range(WARM_UP + ROUNDS):
            stage.add(f"client-{turn:03d}")
            way = stage.rotate(f"client-{turn:03d}")
            ways.append(way.milliseconds)
            floors.append(bare.times(way.readable.writes))
    whole, floor = ways[WARM_UP:], [sum(times.values()) for times in floors[WARM_UP:]]
    ratio = median(way / parts for way, parts in zip(whole, floor, strict=True))
    names = {f"part_{name}_ms": median(times[name] for times in floors[WARM_UP:]) for name in floors[0]}
    return Measured(ratio, {"rotation_ms": median(whole), "floor_ms": median(floor), **names})
