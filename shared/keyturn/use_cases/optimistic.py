"""Optimistic retry: read, decide, commit; after a lost race, again from the start, with a random pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from keyturn.domain.errors import Unavailable
from keyturn.ports.store import LostRace

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.ports.effects import Environment

_T = TypeVar("_T")

ATTEMPTS = 12
FIRST_PAUSE_SECONDS = 0.004
LONGEST_PAUSE_SECONDS = 0.5


def until_won(attempt: Callable[[], _T], environment: Environment) -> _T:
    """Return the result of `attempt`, repeated after each `LostRace`. Raises `Unavailable` after ATTEMPTS of them."""
    for turn in range(ATTEMPTS):
        try:
            return attempt()
        except LostRace:
            environment.sleep(_pause(turn, environment))
    raise Unavailable("contended", "Too many changes at once. Try again.")


def _pause(turn: int, environment: Environment) -> float:
    # A random share of the whole pause ("full jitter"): processes that lost one race together do not meet again.
    bound = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**turn)
    return bound * int.from_bytes(environment.random(4), "big") / 2**32
