"""Token buckets in this process: a limit on the work (decryption, audit of refusals) that one group can cause."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.errors import RateLimited

if TYPE_CHECKING:
    from datetime import datetime

PER_SECOND = 20.0
BURST = 100.0


@dataclass(slots=True)
class Buckets:
    """One bucket for each key. Every instance of a function has its own, so the limit is per instance."""

    per_second: float = PER_SECOND
    burst: float = BURST
    _levels: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str, now: datetime) -> None:
        """Take one token. Raises `RateLimited` if there is none."""
        with self._lock:
            level, since = self._levels.get(key, (self.burst, now))
            # Two readings of the store's time can arrive in the wrong order: never refill by a negative time.
            refilled = min(self.burst, level + max(0.0, (now - since).total_seconds()) * self.per_second)
            if refilled < 1:
                raise RateLimited("group_rate", "Too many messages of this group at once.", retry_after_seconds=1)
            self._levels[key] = (refilled - 1, now)


@dataclass(slots=True)
class Charge:
    """One request's token. Attempts that follow a lost race are free: the limit counts requests, not races."""

    buckets: Buckets
    key: str
    _is_paid: bool = False

    def pay(self, now: datetime) -> None:
        """Take the token, unless it was taken before. Raises `RateLimited` if there is none."""
        if not self._is_paid:
            self.buckets.take(self.key, now)
            self._is_paid = True
