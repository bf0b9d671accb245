"""Rhythm: what the hours in which secrets were used tell: whether an old one is silent, and whether it will be in time.

Rules:

1. Silence has to be shown. Without every verifier's own word that it counted everything, there is none.
2. How long it has to last is learned from this client: its longest pause between two uses, and each caller's own.
3. A client that has stopped altogether shows nothing about its old secret: the new one has to be in use.
4. What is not known speaks against retiring, never for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

HOUR: Final = timedelta(hours=1)
FLOOR: Final = timedelta(days=4)
"""How long the old secret has to be silent at least, whatever the rhythm: longer than a long weekend.

Callers that share a tag hide each other's pauses: one that works around the clock, one that works on working days.
"""
FACTOR: Final = 3
"""How many of its longest pauses the silence has to last."""
FRESH: Final = timedelta(minutes=5)
"""How old a verifier's last word may be while it counts as alive."""
PRESUMED_DEAD: Final = timedelta(days=1)
"""How long after its last word a verifier that did not say goodbye may have accepted what nobody counted."""
_FEWEST_HOURS: Final = 3
_FEWEST_TREND_HOURS: Final = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(moment: datetime) -> int:
    """Return the number of the hour that a moment is in, counted from 1970."""
    return (moment - _EPOCH) // HOUR


# --- how often -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trace:
    """Uses of one secret, all of them or one caller's: the first, the last, and the hours that had any."""

    first_at: datetime
    last_at: datetime
    hours: frozenset[int] = field(repr=False)


def longest_pause(hours: Collection[int]) -> timedelta | None:
    """Return the longest that two uses in a row may have been apart; None where no rhythm is known yet.

    It takes three hours with uses, and as much time besides the longest pause as the pause itself: one whole period.
    """
    ordered = sorted(hours)
    if len(ordered) < _FEWEST_HOURS:
        return None
    # From the beginning of one hour to the end of another.
    pause = max(later - earlier + 1 for earlier, later in pairwise(ordered))
    observed = ordered[-1] - ordered[0] + 1
    return pause * HOUR if observed + 1 >= 2 * pause else None


# --- who counted -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Life:
    """One verifier process's own word: since when it counts, and until when everything that it saw is counted.

    `ended_at` is when it said goodbye, all counted; `lost_to` until when it had to drop something.
    """

    started_at: datetime
    counted_to: datetime
    ended_at: datetime | None = None
    lost_to: datetime | None = None


def complete_since(lives: Collection[Life], now: datetime) -> datetime | None:
    """Return since when every use is counted, None while that can't be said: nobody counts, or somebody fell silent."""
    alive = [life for life in lives if life.ended_at is None and life.counted_to > now - FRESH]
    missing = [life for life in lives if life.ended_at is None and life not in alive]
    if not alive or any(life.counted_to + PRESUMED_DEAD > now for life in missing):
        return None
    holes = [life.counted_to + PRESUMED_DEAD for life in missing]
    lost = [life.lost_to for life in lives if life.lost_to is not None]
    return max([min(life.started_at for life in lives), *holes, *lost])


# --- whether it is silent --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the uses of an old secret and of its successor; `callers` has both for each caller's tag."""

    old: Trace | None
    new: Trace | None
    callers: Mapping[str, tuple[Trace | None, Trace | None]] = field(default_factory=dict)


class Because(StrEnum):
    """Why an old secret may be retired, or not yet."""

    SILENT = "silent"
    TOO_SHORT = "too_short"
    TELEMETRY_INCOMPLETE = "telemetry_incomplete"
    OLD_NEVER_SEEN = "old_never_seen"
    NO_RHYTHM = "no_rhythm"
    NEW_NOT_IN_USE = "new_not_in_use"
    CALLER_NOT_MOVED = "caller_not_moved"


@dataclass(frozen=True, slots=True)
class Silence:
    """How long an old secret is shown to be silent, how long it has to be (None: it can't be told), and why."""

    silent_for: timedelta
    needed: timedelta | None
    because: Because

    @property
    def enough(self) -> bool:
        """Whether the old secret may be retired."""
        return self.because is Because.SILENT


def silence(seen: Seen, complete: datetime | None, now: datetime) -> Silence:
    """Return what is known of an old secret's silence; `complete` is since when every use is counted."""
    if complete is None:
        return Silence(timedelta(0), None, Because.TELEMETRY_INCOMPLETE)
    old, new = seen.old, seen.new
    if old is None:
        return Silence(timedelta(0), None, Because.OLD_NEVER_SEEN)
    silent_for = max(timedelta(0), now - max(old.last_at, complete))
    pause = _pause(old, new)
    if pause is None:
        return Silence(silent_for, None, Because.NO_RHYTHM)
    if new is None or not _in_use(new, old, pause, now):
        return Silence(silent_for, None, Because.NEW_NOT_IN_USE)
    if list(laggards(seen, now)):
        return Silence(silent_for, None, Because.CALLER_NOT_MOVED)
    needed = max(FLOOR, FACTOR * pause)
    return Silence(silent_for, needed, Because.SILENT if silent_for >= needed else Because.TOO_SHORT)


def _pause(old: Trace, new: Trace | None) -> timedelta | None:
    """Return the client's longest pause, or the old secret's own where that is longer: who is left uses it seldom."""
    pauses = [longest_pause(old.hours | (new.hours if new else frozenset())), longest_pause(old.hours)]
    return None if pauses[0] is None else max(pause for pause in pauses if pause is not None)


def _in_use(new: Trace, old: Trace, pause: timedelta, now: datetime) -> bool:
    """Return whether the new secret was used for one whole period at least, later than the old one, and still is."""
    return new.first_at <= now - pause and new.last_at > old.last_at and new.last_at >= now - FACTOR * pause


def laggards(seen: Seen, now: datetime) -> Iterator[str]:
    """Yield the callers that may still come back with the old secret: not seen on the new one since they used the old.

    Who has a rhythm of its own and has missed FACTOR of its longest pauses is gone, and lags no more. The caller
    without a tag is several: that one of them has moved says nothing of the others.
    """
    for tag, (old, new) in seen.callers.items():
        if old is None or (tag and new is not None and new.last_at > old.last_at):
            continue
        pause = longest_pause(old.hours)
        if pause is None or now - old.last_at < FACTOR * pause:
            yield tag


# --- whether it will be in time --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Forecast:
    """When the old secret's use is expected to end; None: it does not fall, or too little is known (`known`)."""

    known: bool
    ends_at: datetime | None = None

    def in_time(self, not_after: datetime) -> bool | None:
        """Return whether use ends before the grace window does; None where it can't be told."""
        return None if not self.known else self.ends_at is not None and self.ends_at <= not_after


def forecast(uses: Mapping[int, int], since: datetime, now: datetime) -> Forecast:
    """Return what the trend of an old secret's uses (by hour) comes to: the later half since `since` over the earlier.

    As long as use falls by the same factor every so often, it ends when less than one use is left of such a half.
    """
    first, last = hour_of(since) + 1, hour_of(now)  # whole hours only
    half = (last - first) // 2
    if 2 * half < _FEWEST_TREND_HOURS:
        return Forecast(known=False)
    earlier = _between(uses, last - 2 * half, last - half)
    later = _between(uses, last - half, last)
    if later == 0:
        return Forecast(known=True, ends_at=now)
    if later >= earlier:
        return Forecast(known=True)
    halves = math.log(later) / math.log(earlier / later)
    return Forecast(known=True, ends_at=now + halves * half * HOUR)


def _between(uses: Mapping[int, int], first: int, end: int) -> int:
    return sum(count for hour, count in uses.items() if first <= hour < end)


def share(part: int, whole: int) -> float | None:
    """Return the share of `part`, 0 to 1, to three digits; None of nothing."""
    return round(part / whole, 3) if whole else None
