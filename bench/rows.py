"""A row of the bench: two things measured in one run, their ratio, and its limit.

Absolute times depend on the machine more than on the program. A ratio within one run is comparable everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """What a row found: the ratio, and by name (unit last: `_ms`, `_bytes`) what it was made of."""

    ratio: float
    parts: Mapping[str, float] = field(default_factory=dict)


class NotRunError(Exception):
    """A row needs something that is missing on this machine. The text names it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `measure` gets an empty folder of its own. The limit is the highest ratio that holds.

    `at_least` makes it the lowest, `exact` the only one.

    `measure` may raise `NotRunError`: then the row neither holds nor breaks, and says why.
    """

    name: str
    limit: float
    measure: Callable[[Path], Measured]
    exact: bool = False
    at_least: bool = False

    @property
    def limit_is(self) -> str:
        """How the limit is meant: `most`, `least` or `exact`."""
        if self.exact:
            return "exact"
        return "least" if self.at_least else "most"

    def holds(self, ratio: float) -> bool:
        """Return whether a ratio is within the limit. A ratio that is not a number never is."""
        if self.exact:
            return ratio == self.limit
        return ratio >= self.limit if self.at_least else ratio <= self.limit
