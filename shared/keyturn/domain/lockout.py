"""Lockout: how long an admin's one-time codes are refused after wrong ones (docs/protocol.md §7)."""

from __future__ import annotations

from datetime import timedelta

FREE_FAILURES = 3
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=4)
_MAX_DOUBLINGS = 12  # more would exceed LONGEST_DELAY anyway, and a huge count would overflow timedelta


def delay_after(failures: int) -> timedelta:
    """Return the wait after a number of consecutive wrong codes: none for the first two, then 30 s, doubling up to 4 h.

    So an attacker with every other factor can try fewer than 20 of a million codes in the first day.
    """
    if failures < FREE_FAILURES:
        return timedelta(0)
    doublings = min(failures - FREE_FAILURES, _MAX_DOUBLINGS)
    return min(LONGEST_DELAY, FIRST_DELAY * (1 << doublings))
