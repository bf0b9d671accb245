"""Token buckets in this process: how much unasked work (decryption, refusals in the audit) one group may cause."""

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
    """One bucket a key; an instance of a door counts for itself."""

    per_second: float = PER_SECOND
    burst: float = BURST
    _levels: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str, now: datetime) -> None:
        """Take one token; `RateLimited` when there is none."""
        with self._lock:
            level, since = self._levels.get(key, (self.burst, now))
            filled = min(self.burst, level + max(0.0, (now - since).total_seconds()) * self.per_second)
            if filled < 1:
                raise RateLimited("group_rate", "Too many messages of this group at once.", retry_after_seconds=1)
            self._levels[key] = (filled - 1, now)
