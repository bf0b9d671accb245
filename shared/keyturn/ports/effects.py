"""Randomness and waiting, as arguments of the use cases. The time comes from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Random: TypeAlias = Callable[[int], bytes]
"""n → n bytes from the operating system's CSPRNG."""

Sleep: TypeAlias = Callable[[float], None]
"""Waits for a number of seconds."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Randomness and waiting."""

    random: Random
    sleep: Sleep
