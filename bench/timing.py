"""Times two or more actions so that noise affects all alike: in turns, after a warm-up, in one process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_T = TypeVar("_T")


def milliseconds(act: Callable[[], object]) -> float:
    """Return how long `act` took, in milliseconds of the wall clock."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def samples(acts: Mapping[str, Callable[[], _T]], *, rounds: int, warm_up: int) -> dict[str, list[_T]]:
    """Run every act once a round, in turns. Return what each returned, without the warm-up rounds."""
    results: dict[str, list[_T]] = {name: [] for name in acts}
    for turn in range(warm_up + rounds):
        # Every other round runs backwards, so that none always follows the same one.
        for name in list(acts)[:: -1 if turn % 2 else 1]:
            value = acts[name]()
            if turn >= warm_up:
                results[name].append(value)
    return results


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Times acts and keeps their results: `times` has each one's milliseconds by its name."""

    times: dict[str, float] = field(default_factory=dict)

    def by(self, name: str, act: Callable[[], _T]) -> _T:
        """Return what `act` returns, and note how long it took."""
        began = time.perf_counter()
        result = act()
        self.times[name] = (time.perf_counter() - began) * 1000
        return result
