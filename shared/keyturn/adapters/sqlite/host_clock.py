"""The host's time of day, in which a step counts only once it has lasted (docs/protocol.md §4, "Wrong clocks").

1. A second clock counts the time since the boot, and cannot be set. While both agree, the time is the time of day.
2. When the time of day steps, the time goes on by the second clock. The step is followed once it has lasted
   LASTING_SECONDS. So a wrong time that is soon corrected has no effect at all.
3. An anchor says what the time was at the boot. Each store keeps it in its file, so a process that begins after a step
   notices the step as well.
4. After a boot nothing confirms the time of day. It is used at once, and for LASTING_SECONDS it is not certain: nothing
   is written then that time alone brings (`Snapshot.is_time_certain`).
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from keyturn.adapters.document_values import EPOCH, HELD_BACK, utc_now
from keyturn.ports.effects import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.ports.effects import Monotonic

_log = logging.getLogger(__name__)

LASTING_SECONDS: Final = 300.0
"""How long a step of the time of day must last before it is followed."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Anchor:
    """The time of day (aware UTC) at which the second clock showed 0, in one boot of the host."""

    boot: str
    origin: datetime

    def is_near(self, other: Anchor) -> bool:
        """Return whether another anchor says the same, to a second."""
        return self.boot == other.boot and abs(self.origin - other.origin) < timedelta(seconds=1)


class HostClock:
    """One host's time. Any number of threads may use it.

    `elapsed` returns seconds since the boot. `boot` names the boot, None if that is unknown: then nothing is kept.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = utc_now,
        elapsed: Monotonic = monotonic,
        boot: str | None = None,
        lasting_seconds: float = LASTING_SECONDS,
    ) -> None:
        self._wall = wall
        self.elapsed = elapsed
        self._boot = boot
        self._lasting_seconds = lasting_seconds
        self._lock = Lock()
        self._is_after_boot = False
        self._origin: datetime | None = None
        self._certain_from = math.inf
        self._step: tuple[datetime, float] | None = None
        """The origin that a step would lead to, and when it was first seen."""

    @classmethod
    def following(cls, wall: Callable[[], datetime]) -> HostClock:
        """Return a clock that follows every step of `wall`, where no second clock exists."""

        def elapsed() -> float:
            return (wall() - EPOCH).total_seconds()

        return cls(wall, elapsed, lasting_seconds=0.0)

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        with self._lock:
            elapsed, wall = self.elapsed(), self._wall()
            return self._judge(wall, wall - timedelta(seconds=elapsed), elapsed)

    def is_certain(self) -> bool:
        """Return whether the time that `now` returned last is confirmed (rule 4)."""
        return self.elapsed() >= self._certain_from

    def anchor(self) -> Anchor | None:
        """Return what a file is to keep, or None while the time is not certain."""
        if self._boot is None or self._origin is None or self.elapsed() < self._certain_from:
            return None
        return Anchor(self._boot, self._origin)

    def note(self, anchor: Anchor | None, *, is_new: bool) -> None:
        """Take the anchor that a file keeps, unless it contradicts what is known here.

        A new file confirms the time, if there is none of an earlier boot: nothing in it can be due by mistake.
        """
        with self._lock:
            seen = self._wall() - timedelta(seconds=self.elapsed())
            if anchor is not None and anchor.boot == self._boot:
                if self._origin is None or _agree(anchor.origin, seen):
                    self._origin, self._certain_from = anchor.origin, -math.inf
            elif not is_new:
                self._is_after_boot = True
            elif self._origin is None and not self._is_after_boot:
                self._origin, self._certain_from = seen, -math.inf

    def _judge(self, wall: datetime, origin: datetime, elapsed: float) -> datetime:
        if self._origin is None:
            self._certain_from = elapsed + self._lasting_seconds
        elif not _agree(origin, self._origin):
            if elapsed < self._certain_from:
                self._certain_from = elapsed + self._lasting_seconds
            elif not self._has_lasted(origin, elapsed):
                return self._origin + timedelta(seconds=elapsed)
        self._origin, self._step = origin, None
        return wall

    def _has_lasted(self, origin: datetime, elapsed: float) -> bool:
        if self._step is None or not _agree(origin, self._step[0]):
            self._step = (origin, elapsed)
            if self._origin is not None and self._lasting_seconds:
                seconds = (origin - self._origin).total_seconds()
                _log.error("the host's clock jumped by %d seconds, it is followed only if that lasts", seconds)
        return elapsed - self._step[1] >= self._lasting_seconds


def _agree(one: datetime, other: datetime) -> bool:
    return abs(one - other) <= HELD_BACK


def _host() -> HostClock:
    boot = None
    with suppress(OSError):
        boot = _BOOT_ID.read_text("ascii").strip()
    # Without a clock that counts the time of sleep, each sleep would look like a step.
    return HostClock(boot=boot) if boot and hasattr(time, "CLOCK_BOOTTIME") else HostClock.following(utc_now)


HOST: Final = _host()
"""The clock of this host, for all stores of the process."""
