"""Limit wrong credentials by source. A source with too many gets 429. A credential with a kept verdict still passes.

The calculation is GCRA (the generic cell rate algorithm): one number for each source, the time at which all its
failures are paid off.
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
"""How many failures a source may have at once."""
PER_SECOND: Final = 1.0
"""How many failures per second a source may have in the long run."""
MOST_SOURCES: Final = 50_000
_V6_NETWORK = 64


class FailureLimits:
    """The limits of one process. Any number of threads may use them. No text contains a source."""

    def __init__(self, monotonic: Callable[[], float], burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._monotonic = monotonic
        self._cost = 1.0 / per_second
        self._depth = burst * self._cost
        self._lock = Lock()
        self._paid_off_at: dict[str, float] = {}

    def admit(self, source: str) -> None:
        """Return if the source may try a credential, and raise `RateLimited` otherwise. "" has no limit."""
        # GCRA: one more failure is admitted if all failures, this one included, are paid off within `_depth` seconds.
        # No lock: a stale number admits a few checks too many at worst, and `charge` counts their failures.
        wait = self._paid_off_at.get(source, 0.0) - self._depth + self._cost - self._monotonic()
        if source and wait > 0:
            seconds = math.ceil(wait)
            raise RateLimited("too_many_failures", "Too many refused credentials.", retry_after_seconds=seconds)

    def charge(self, source: str) -> None:
        """Charge one failure to a source."""
        if not source:
            return
        with self._lock:
            now = self._monotonic()
            paid_off_at = max(self._paid_off_at.pop(source, now), now) + self._cost
            if len(self._paid_off_at) >= MOST_SOURCES:  # forget the source that has been quiet for the longest time
                del self._paid_off_at[next(iter(self._paid_off_at))]
            self._paid_off_at[source] = paid_off_at


@functools.lru_cache(maxsize=1024)
def source_of(address: str | None) -> str:
    """Return the source that an address belongs to: an IPv4 address or an IPv6 /64; "" for loopback or no address."""
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
