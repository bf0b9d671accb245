"""Usage silence: whether an old secret is no longer used, and whether its use will end in time.

Usage is counted by the hour (docs/verifier.md). Rules:

1. Silence has to be shown. It is not shown unless every verifier process has reported that it counted everything.
2. The length of silence that is needed is learned from this client: from its longest pause between two uses, and from
   the longest pause of each of its callers.
3. A client that is not used at all shows nothing about its old secret. The new one has to be in use.
4. Missing information counts against retiring an old secret, never for it.
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
MINIMUM_SILENCE: Final = timedelta(days=4)
"""The shortest silence that is enough, whatever the client's pauses: longer than a long weekend.

Callers that share a tag hide each other's pauses, for example one that works around the clock and one that works on
working days only.
"""
PAUSES_NEEDED: Final = 3
"""How many of the longest pauses the silence has to last."""
REPORT_MAX_AGE: Final = timedelta(minutes=5)
"""How old the last report of a verifier process can be while the process counts as alive."""
UNCOUNTED_TIME: Final = timedelta(days=1)
"""How long after its last report a process that did not shut down cleanly may have accepted secrets uncounted."""
_FEWEST_HOURS: Final = 3
_FEWEST_TREND_HOURS: Final = 4
_LONGEST_FORECAST = timedelta(days=3650)
"""A later end is none: no grace lasts that long, and a date cannot hold every value of the formula."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(moment: datetime) -> int:
    """Return the number of the hour that a moment is in, counted from 1970."""
    return (moment - _EPOCH) // HOUR


# --- how often a secret is used --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UseHistory:
    """Uses of one secret, by all callers or by one: the first, the last, and the hours with any."""

    first_at: datetime
    last_at: datetime
    hours: frozenset[int] = field(repr=False)


def longest_pause(hours: Collection[int]) -> timedelta | None:
    """Return the longest possible time between two consecutive uses, or None if too little is known.

    At least three hours with uses are needed, and an observation twice as long as the pause: with less, a longer pause
    could be normal for this client and simply not have ended yet.
    """
    ordered = sorted(hours)
    if len(ordered) < _FEWEST_HOURS:
        return None
    # A use may be at the start of its hour and the next one at the end of its own, hence the + 1.
    pause = max(later - earlier + 1 for earlier, later in pairwise(ordered))
    observed = ordered[-1] - ordered[0] + 1
    return pause * HOUR if observed + 1 >= 2 * pause else None


# --- whether all uses are counted ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerifierReport:
    """One verifier process's own report: since when it counts, and up to when its counts are complete.

    `ended_at` is when it shut down with everything counted. `lost_to` is up to when it had to drop counts.
    """

    started_at: datetime
    counted_to: datetime
    ended_at: datetime | None = None
    lost_to: datetime | None = None


def complete_since(reports: Collection[VerifierReport], now: datetime) -> datetime | None:
    """Return since when every use is counted, or None if no process counts or one has disappeared."""
    alive = [report for report in reports if report.ended_at is None and report.counted_to > now - REPORT_MAX_AGE]
    disappeared = [report for report in reports if report.ended_at is None and report not in alive]
    if not alive or any(report.counted_to + UNCOUNTED_TIME > now for report in disappeared):
        return None
    # Each process that disappeared may have accepted secrets uncounted for a while after its last report.
    gaps = [report.counted_to + UNCOUNTED_TIME for report in disappeared]
    losses = [report.lost_to for report in reports if report.lost_to is not None]
    return max([min(report.started_at for report in reports), *gaps, *losses])


# --- whether the old secret is silent --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UsageEvidence:
    """The uses of an old secret and of its successor. `callers` has both for each caller's tag."""

    old: UseHistory | None
    new: UseHistory | None
    callers: Mapping[str, tuple[UseHistory | None, UseHistory | None]] = field(default_factory=dict)


class SilenceReason(StrEnum):
    """Why an old secret can be retired, or cannot be yet."""

    SILENT = "silent"
    TOO_SHORT = "too_short"
    TELEMETRY_INCOMPLETE = "telemetry_incomplete"
    OLD_NEVER_SEEN = "old_never_seen"
    NO_RHYTHM = "no_rhythm"
    NEW_NOT_IN_USE = "new_not_in_use"
    CALLER_NOT_MOVED = "caller_not_moved"


@dataclass(frozen=True, slots=True)
class Silence:
    """How long an old secret is known to be unused, how long is enough (None: cannot be said), and why."""

    silent_for: timedelta
    needed: timedelta | None
    because: SilenceReason

    @property
    def enough(self) -> bool:
        """Whether the old secret can be retired."""
        return self.because is SilenceReason.SILENT


def silence(evidence: UsageEvidence, complete: datetime | None, now: datetime) -> Silence:
    """Return how long an old secret has been silent. `complete` is since when every use is counted."""
    if complete is None:
        return Silence(timedelta(0), None, SilenceReason.TELEMETRY_INCOMPLETE)
    old, new = evidence.old, evidence.new
    if old is None:
        return Silence(timedelta(0), None, SilenceReason.OLD_NEVER_SEEN)
    silent_for = max(timedelta(0), now - max(old.last_at, complete))
    pause = _pause(old, new)
    if pause is None:
        return Silence(silent_for, None, SilenceReason.NO_RHYTHM)
    if new is None or not _in_use(new, old, pause, now):
        return Silence(silent_for, None, SilenceReason.NEW_NOT_IN_USE)
    if list(callers_not_moved(evidence, now)):
        return Silence(silent_for, None, SilenceReason.CALLER_NOT_MOVED)
    needed = max(MINIMUM_SILENCE, PAUSES_NEEDED * pause)
    reason = SilenceReason.SILENT if silent_for >= needed else SilenceReason.TOO_SHORT
    return Silence(silent_for, needed, reason)


def _pause(old: UseHistory, new: UseHistory | None) -> timedelta | None:
    """Return the longest pause of the client as a whole, or that of the old secret alone where it is longer.

    The callers that still use the old secret can be the ones that use it rarely.
    """
    pauses = [longest_pause(old.hours | (new.hours if new else frozenset())), longest_pause(old.hours)]
    return None if pauses[0] is None else max(pause for pause in pauses if pause is not None)


def _in_use(new: UseHistory, old: UseHistory, pause: timedelta, now: datetime) -> bool:
    """Return whether the new secret has been used for at least one whole pause, after the old one, and still is."""
    # One whole pause: with less, callers that use the secret rarely may not have had their turn yet.
    return new.first_at <= now - pause and new.last_at > old.last_at and new.last_at >= now - PAUSES_NEEDED * pause


def callers_not_moved(evidence: UsageEvidence, now: datetime) -> Iterator[str]:
    """Yield the tags of callers that may still use the old secret: no use of the new one since their last of the old.

    A caller with known pauses that has been absent for PAUSES_NEEDED of them is gone and no longer counts. Callers
    without a tag are counted together, so a use of the new secret by one of them says nothing about the others.
    """
    for tag, (old, new) in evidence.callers.items():
        if old is None or (tag and new is not None and new.last_at > old.last_at):
            continue
        pause = longest_pause(old.hours)
        if pause is None or now - old.last_at < PAUSES_NEEDED * pause:
            yield tag


# --- whether use will end in time ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Forecast:
    """When use of the old secret will probably end, or None if it does not fall, or (`known` false) cannot be said."""

    known: bool
    ends_at: datetime | None = None

    def in_time(self, not_after: datetime) -> bool | None:
        """Return whether use ends before the grace period does, or None if that cannot be said."""
        return None if not self.known else self.ends_at is not None and self.ends_at <= not_after


def forecast(uses: Mapping[int, int], since: datetime, now: datetime) -> Forecast:
    """Return when an old secret's use will end if its trend continues. `uses` counts by the hour.

    The time since `since` is cut into two halves. If use falls by the same factor in every further half, it ends when
    less than one use is left in such a half.
    """
    first, last = hour_of(since) + 1, hour_of(now)  # whole hours only
    half = (last - first) // 2
    if 2 * half < _FEWEST_TREND_HOURS:
        return Forecast(known=False)
    earlier = _count_between(uses, last - 2 * half, last - half)
    later = _count_between(uses, last - half, last)
    if later == 0:
        return Forecast(known=True, ends_at=now)
    if later >= earlier:
        return Forecast(known=True)
    # later · (later / earlier)^halves = 1. With almost no decline the end is beyond every date, or the logarithms are
    # equal: then the use does not end.
    decline = math.log(earlier) - math.log(later)
    if decline * _LONGEST_FORECAST <= math.log(later) * (half * HOUR):
        return Forecast(known=True)
    return Forecast(known=True, ends_at=now + math.log(later) / decline * half * HOUR)


def _count_between(uses: Mapping[int, int], first: int, end: int) -> int:
    return sum(count for hour, count in uses.items() if first <= hour < end)


def share(part: int, whole: int) -> float | None:
    """Return the share of `part`, 0 to 1, to three digits, or None if `whole` is 0."""
    return round(part / whole, 3) if whole else None
