"""Row: a rotation on Google's emulators, against its bare calls and as many deliveries to an empty function.

Three devices in one group, a fresh client each time, the real machine in this process. 15 rotations after a warm-up of
4, the parts right after each of them. The ratio is the median of the ratios of each rotation to its parts, so that a
busy moment affects both. The clock runs from the accepting commit to the commit that makes the notice readable.

The floor: every call between those two commits, the last one included, is repeated alone, with the same arguments,
through its adapter. Added are one event of a written document and one message, each to a function that does nothing.
The ratio above 1 is the cost of the rest: functions, framework, JSON, MLS, the extra hop of redelivery, and threads
that wait for the interpreter.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

from keyturn.local.errors import LocalError

from bench.rotation_parts import commit_again
from bench.rows import Measured, NotRunError
from bench.timing import milliseconds
from tests.tiers import require_emulators

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench.cloud_calls import CloudCall
    from bench.cloud_stage import CloudStage

ROUNDS = 15
WARM_UP = 4


def emulator_rotation_vs_floor(folder: Path) -> Measured:
    """Return the time of a rotation over that of its parts, each reported. Raises `NotRunError` without emulators."""
    try:
        require_emulators()
    except LocalError as missing:
        raise NotRunError(str(missing)) from None
    from bench.cloud_stage import raised  # noqa: PLC0415 - Google's clients: only this row needs them

    wholes: list[float] = []
    floors: list[Mapping[str, float]] = []
    with raised(folder) as stage:
        for turn in range(WARM_UP + ROUNDS):
            stage.add(f"client-{turn:03d}")
            calls = stage.rotate(f"client-{turn:03d}")
            wholes.append((calls[-1].at - calls[0].at) * 1000)
            floors.append(_parts(stage, calls[1:]))
    return _measured(wholes[WARM_UP:], floors[WARM_UP:])


def _measured(wholes: Sequence[float], floors: Sequence[Mapping[str, float]]) -> Measured:
    totals = [sum(times.values()) for times in floors]
    ratios = [whole / total for whole, total in zip(wholes, totals, strict=True)]
    parts = {f"part_{name}_ms": median(times.get(name, 0.0) for times in floors) for name in floors[0]}
    return Measured(median(ratios), {"rotation_ms": median(wholes), "floor_ms": median(totals), **parts})


def _parts(stage: CloudStage, calls: Sequence[CloudCall]) -> Mapping[str, float]:
    parts_ms: Counter[str] = Counter()
    for call in calls:
        if call.name != "publish":  # it is in the time until the message is delivered
            parts_ms[call.name] += milliseconds(_again(stage, call))  # type: ignore[assignment]  # a counter of floats
    return {**parts_ms, "delivery_written": stage.written(), "delivery_published": stage.published()}


def _again(stage: CloudStage, call: CloudCall) -> Callable[[], object]:
    return commit_again(stage.store, call.arguments[0]) if call.name == "commit" else call.repeat
