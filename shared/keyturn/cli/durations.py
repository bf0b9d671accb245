"""Durations as people write them: `90s`, `10m`, `1h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta

from keyturn.device.core.errors import UsageError

# [0-9] and not \d, which also matches digits of other scripts.
_WRITTEN = re.compile(r"([0-9]{1,9})([smhd])\Z")
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SECOND = timedelta(seconds=1)

LONGEST = timedelta(days=3650)
"""Longer than every policy allows, and short enough that adding it to a date can't overflow."""


def parse_duration(text: str) -> timedelta:
    """Return the duration of a whole number with one unit of s, m, h and d. Raises `UsageError` otherwise."""
    match = _WRITTEN.match(text)
    duration = int(match[1]) * _SECONDS[match[2]] * _SECOND if match else None
    if duration is None or duration > LONGEST:
        raise UsageError("A duration is a whole number with a unit, at most ten years.", "Write it as 90s, 10m or 7d.")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return a duration in its largest whole unit, rounded down to a second."""
    seconds = duration // _SECOND
    unit, size = next((unit, size) for unit, size in _SECONDS.items() if seconds % size == 0 and (seconds or size == 1))
    return f"{seconds // size}{unit}"


def format_age(duration: timedelta) -> str:
    """Return an age in the largest unit that has passed, rounded down."""
    seconds = max(duration // _SECOND, 0)
    unit, size = next(((unit, size) for unit, size in _SECONDS.items() if seconds >= size), ("s", 1))
    return f"{seconds // size}{unit}"
