"""Chooses rows of the table by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.rows import Row


class UnknownRowError(Exception):
    """A name is not in the table. The text names the nearest one."""


def choose(rows: Sequence[Row], names: Sequence[str]) -> Sequence[Row]:
    """Return the rows of these names in the table's order, or all rows if there are no names."""
    known = {row.name for row in rows}
    for name in names:
        if name not in known:
            (nearest,) = get_close_matches(name, known, n=1, cutoff=0.0)
            raise UnknownRowError(f"There is no row {name}. The nearest name is {nearest}.")
    return [row for row in rows if not names or row.name in names]
