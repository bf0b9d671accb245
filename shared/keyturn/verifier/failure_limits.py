"""Failure budgets: a source that keeps guessing is told to wait; who is right and known is served all the same.

The calculation is GCRA: one number a source, the time at which all its failures are paid off.
"""

from __future__ import annotations

import functools
import ipaddress
import math
from threading import Lock
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable

BURST: Final = 60
"""Failures that a source may have at once."""
PER_SECOND: Final = 1.0
"""Failures a second that a source may have for good."""
MOST_SOURCES: Final = 50_000
_V6_NETWORK = 64


class Budgets:
    """The budgets of one process. Any number of threads may use them; the sources themselves are in no text."""

    def __init__(self, monotonic: Callable[[], float], burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._monotonic = monotonic
        self._cost = 1.0 / per_second
        self._depth = burst * self._cost
        self._lock = Lock()
        self._paid_at: dict[str, float] = {}

    def admit(self, source: str) -> None:
        """Let a check of this source pass; `RateLimited` when its budget is spent. An empty source has no budget."""
        wait = self._paid_at.get(source, 0.0) - self._depth + self._cost - self._monotonic()
        if source and wait > 0:
            seconds = math.ceil(wait)
            raise RateLimited("too_many_failures", "Too many refused credentials.", retry_after_seconds=seconds)

    def failed(self, source: str) -> None:
        """Charge one refusal to a source."""
        if not source:
            return
        with self._lock:
            now = self._monotonic()
            paid_at = max(self._paid_at.pop(source, now), now) + self._cost
            if len(self._paid_at) >= MOST_SOURCES:  # the one that failed longest ago goes
                del self._paid_at[next(iter(self._paid_at))]
            self._paid_at[source] = paid_at


@functools.lru_cache(maxsize=1024)
def source_of(address: str | None) -> str:
    """Return the source that an address stands for: an IPv4 address, an IPv6 /64; "" for one's own machine or none."""
    try:
        parsed = ipaddress.ip_address((address or "").strip())
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            network = ipaddress.ip_network((parsed, _V6_NETWORK), strict=False)
            return "" if parsed.is_loopback else str(network)
        parsed = parsed.ipv4_mapped
    return "" if parsed.is_loopback else str(parsed)
