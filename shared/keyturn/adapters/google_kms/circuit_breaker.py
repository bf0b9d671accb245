"""A circuit breaker: who failed too often in a row is left alone for a while, then asked by one caller."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from keyturn.ports.keys import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may take, and what makes the breaker open; all in seconds but `failures`."""

    attempt_seconds: float = 3.0
    total_seconds: float = 8.0
    soon_seconds: float = 0.05
    quota_seconds: float = 0.5
    failures: int = 5
    open_seconds: float = 5.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


class Breaker:
    """Opens after `failures` failed attempts in a row; then lets one attempt in `open_seconds` through."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = Lock()
        self._failures = 0
        self._next_at = 0.0

    def ask(self) -> None:
        """Return if an attempt may be made now; `KeyUnavailable` if not."""
        with self._lock:
            if self._failures < self._patience.failures:
                return
            now = self._patience.clock()
            if now < self._next_at:
                raise KeyUnavailable("the key service failed too often just now; it is not asked again yet")
            # Whoever comes here is the probe. Should it never report back, the next one comes after the same while.
            self._next_at = now + self._patience.open_seconds

    def answered(self) -> None:
        """Note that the service answered: it works."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """Note that an attempt got no answer."""
        with self._lock:
            self._failures += 1
            self._next_at = self._patience.clock() + self._patience.open_seconds
