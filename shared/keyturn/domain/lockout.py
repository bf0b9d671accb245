"""Lockout: how long an admin's one-time codes are not looked at after wrong ones (protocol.md §7)."""

from __future__ import annotations

from datetime import timedelta

FREE_FAILURES = 3
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=4)
_MAX_DOUBLINGS = 12


def delay_after(failures: int) -> timedelta:
    """Return the wait after so many wrong codes in a row: none for the first three, then doubling up to 4 hours.

    At that rate somebody who passes every other factor tries fewer than 20 codes of a million in the first day.
    """
    if failures < FREE_FAILURES:
        return timedelta(0)
    doublings = min(failures - FREE_FAILURES, _MAX_DOUBLINGS)
    return min(LONGEST_DELAY, FIRST_DELAY * (1 << doublings))
