"""What a process gets from its system: randomness, waiting and elapsed time. The time of day comes from the store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Random: TypeAlias = Callable[[int], bytes]
"""n → n bytes from the operating system's CSPRNG."""

Sleep: TypeAlias = Callable[[float], None]
"""Waits for a number of seconds."""

Monotonic: TypeAlias = Callable[[], float]
"""Returns seconds of a clock that cannot be set."""

Wait: TypeAlias = Callable[[Future[Any], float], None]
"""Waits until a future is done. Raises `TimeoutError` after a number of seconds."""

_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def monotonic() -> float:
    """Return seconds of a clock that never goes back and, where the system has one, counts suspended time too."""
    # On Linux CLOCK_MONOTONIC stands still during suspend: what was kept in memory would look fresh afterwards.
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


def wait(future: Future[Any], seconds: float) -> None:
    """Block this thread until the future is done."""
    future.exception(seconds)


def uniform(random: Random, longest: float) -> float:
    """Return a random number from 0 up to `longest`: callers that failed together must not retry together."""
    return longest * int.from_bytes(random(4), "big") / 2**32


@dataclass(frozen=True, slots=True)
class Environment:
    """What a process gets from its system."""

    random: Random = os.urandom
    sleep: Sleep = time.sleep
    monotonic: Monotonic = monotonic
    wait: Wait = wait
