"""Whether time tells one kind of thing from another: Welch's t between every two kinds, and the largest |t| counts.

Once over all samples, and once over those below a common percentile, where what other programs did in between hides
nothing. 4.5 is what such tests take for a difference (TVLA).
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean, variance
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CROPPED_AT = 0.9


def largest_t(taken: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the largest |t| between two kinds of times, over all of them and over the quicker ones."""
    return {"t_all": _largest(taken), "t_cropped": _largest(_cropped(taken))}


def _cropped(taken: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    pooled = sorted(value for times in taken.values() for value in times)
    most = pooled[int(len(pooled) * CROPPED_AT)]
    return {kind: [value for value in times if value < most] for kind, times in taken.items()}


def _largest(taken: Mapping[str, Sequence[int]]) -> float:
    return max(abs(_welch(taken[one], taken[other])) for one, other in combinations(taken, 2))


def _welch(one: Sequence[int], other: Sequence[int]) -> float:
    spread = math.sqrt(variance(one) / len(one) + variance(other) / len(other))
    return (fmean(one) - fmean(other)) / spread
