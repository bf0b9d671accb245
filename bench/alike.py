"""Test whether timings reveal the kind of a request: the largest |t| of Welch's test over every pair of kinds.

It is computed twice: over all samples, and over the samples below a common percentile, which removes the noise of
other programs. Above 4.5 the kinds count as distinguishable (the threshold of TVLA, test vector leakage assessment).
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean, variance
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CROPPED_AT = 0.9


def largest_t(timings: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the largest |t| between two kinds of times, over all of them and over the quicker ones."""
    return {"t_all": _largest(timings), "t_cropped": _largest(_cropped(timings))}


def _cropped(timings: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    pooled = sorted(value for times in timings.values() for value in times)
    most = pooled[int(len(pooled) * CROPPED_AT)]
    return {kind: [value for value in times if value < most] for kind, times in timings.items()}


def _largest(timings: Mapping[str, Sequence[int]]) -> float:
    return max(abs(_welch(timings[one], timings[other])) for one, other in combinations(timings, 2))


def _welch(one: Sequence[int], other: Sequence[int]) -> float:
    spread = math.sqrt(variance(one) / len(one) + variance(other) / len(other))
    return (fmean(one) - fmean(other)) / spread
