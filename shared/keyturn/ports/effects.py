"""What the outside world gives a use case besides its ports: randomness and patience. Time comes from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Random: TypeAlias = Callable[[int], bytes]
"""n → n random bytes from a CSPRNG."""

Sleep: TypeAlias = Callable[[float], None]
"""Seconds → waits so long."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Randomness and patience."""

    random: Random
    sleep: Sleep
