"""Usage by the hour: when silence is shown, when it is not, and whether use will end in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.domain.usage_silence import (
    HOUR,
    MINIMUM_SILENCE,
    PAUSES_NEEDED,
    REPORT_MAX_AGE,
    UNCOUNTED_TIME,
    Forecast,
    SilenceReason,
    UsageEvidence,
    UseHistory,
    VerifierReport,
    callers_not_moved,
    complete_since,
    forecast,
    hour_of,
    longest_pause,
    silence,
)

NOW = datetime(2026, 3, 20, 12, 10, tzinfo=UTC)
HERE = hour_of(NOW)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def trace(*hours_ago: int) -> UseHistory:
    """Return uses so many hours ago."""
    moments = sorted(NOW - ago * HOUR for ago in hours_ago)
    return UseHistory(moments[0], moments[-1], frozenset(hour_of(moment) for moment in moments))


DAILY_OLD = trace(*range(72, 24 * 20, 24))
"""Used once a day until three days ago."""
DAILY_NEW = trace(0, 24, 48)
MOVED = UsageEvidence(DAILY_OLD, DAILY_NEW, {"web": (DAILY_OLD, DAILY_NEW)})
LONG_AGO = NOW - 30 * DAY


# --- pauses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "pause"),
    [
        ([], None),
        ([7], None),
        ([7, 8], None),
        ([7, 8, 9], 2),
        ([0, 24, 48], 25),
        ([1000, 1024, 1100], None),
        ([0, 24, 100], None),  # that pause was seen once, and nothing as long beside it
        ([0, 24, 48, 72, 121], 50),
        ([0, 1, 2, 3, 168], None),
    ],
)
def test_a_rhythm_takes_one_whole_period(hours: list[int], pause: int | None) -> None:
    assert longest_pause(hours) == (None if pause is None else pause * HOUR)


@given(st.sets(st.integers(0, 500), min_size=3, max_size=40))
def test_a_pause_is_never_shorter_than_one_that_was_seen(hours: set[int]) -> None:
    ordered = sorted(hours)
    pause = longest_pause(hours)
    seen = max(later - earlier for earlier, later in pairwise(ordered))
    assert pause is None or pause > seen * HOUR


# --- completeness ----------------------------------------------------------------------------------------------------

ALIVE = VerifierReport(started_at=NOW - 9 * DAY, counted_to=NOW - timedelta(seconds=40))
GONE = VerifierReport(started_at=NOW - 8 * DAY, counted_to=NOW - 7 * DAY, ended_at=NOW - 7 * DAY)
VANISHED = VerifierReport(started_at=NOW - 8 * DAY, counted_to=NOW - 2 * DAY)


def test_what_lives_counts_since_the_first_of_them() -> None:
    assert complete_since([ALIVE, GONE], NOW) == ALIVE.started_at


def test_without_a_live_verifier_nothing_is_shown() -> None:
    assert complete_since([], NOW) is None
    assert complete_since([GONE], NOW) is None
    assert complete_since([replace(ALIVE, counted_to=NOW - REPORT_MAX_AGE)], NOW) is None


def test_one_that_vanished_leaves_a_hole_of_a_day() -> None:
    assert complete_since([ALIVE, VANISHED], NOW) == VANISHED.counted_to + UNCOUNTED_TIME
    lately = replace(VANISHED, counted_to=NOW - UNCOUNTED_TIME + TICK)
    assert complete_since([ALIVE, lately], NOW) is None
    assert complete_since([ALIVE, replace(lately, counted_to=NOW - UNCOUNTED_TIME)], NOW) == NOW


def test_what_was_dropped_leaves_a_hole() -> None:
    assert complete_since([replace(ALIVE, lost_to=NOW - HOUR)], NOW) == NOW - HOUR


# --- silence ---------------------------------------------------------------------------------------------------------


def test_a_client_that_moved_over_and_kept_its_rhythm_is_silent_on_the_old() -> None:
    seen = UsageEvidence(trace(*range(150, 24 * 40, 48)), trace(0, 48, 96, 144), {})
    found = silence(seen, LONG_AGO, NOW)
    assert (found.because, found.enough, found.needed) == (SilenceReason.SILENT, True, PAUSES_NEEDED * 49 * HOUR)
    assert found.silent_for == 150 * HOUR


def test_an_hourly_client_still_needs_longer_than_a_long_weekend() -> None:
    seen = UsageEvidence(trace(*range(90, 400)), trace(*range(90)), {})
    found = silence(seen, LONG_AGO, NOW)
    assert (found.because, found.needed) == (SilenceReason.TOO_SHORT, MINIMUM_SILENCE)
    assert silence(UsageEvidence(trace(*range(97, 400)), trace(*range(97)), {}), LONG_AGO, NOW).enough


def test_who_is_left_on_the_old_secret_is_not_hidden_by_who_never_rests() -> None:
    """Two callers share a tag. One has moved, the other still uses the old secret every second day."""
    moved_ago = 24 * 9
    old = trace(*range(moved_ago, 24 * 20), *range(100, moved_ago, 48))
    tags = {"both": (old, trace(*range(moved_ago)))}
    found = silence(UsageEvidence(old, trace(*range(moved_ago)), tags), LONG_AGO, NOW)
    assert (found.because, found.needed) == (SilenceReason.TOO_SHORT, PAUSES_NEEDED * 49 * HOUR)


def test_who_works_on_working_days_is_still_there_on_monday() -> None:
    """Two callers share a tag: one runs all day and moved on Thursday at noon, the other works from 9 to 17."""
    monday = datetime(2026, 3, 23, 9, 0, tzinfo=UTC)
    thursday, friday = monday - timedelta(days=3, hours=21), monday - timedelta(days=2, hours=16)
    before = [thursday - hours * HOUR for hours in range(24 * 20)]
    left = [thursday + hours * HOUR for hours in (1, 2, 3, 4, 21, 22, 23, 24, 25, 26, 27, 28, 29)]
    since = [monday - hours * HOUR for hours in range(93)]
    old = UseHistory(before[-1], left[-1], frozenset(map(hour_of, [*before, *left])))
    new = UseHistory(since[-1], since[0], frozenset(map(hour_of, since)))
    assert left[-1] == friday
    assert not silence(UsageEvidence(old, new, {"both": (old, new)}), LONG_AGO, monday).enough


@pytest.mark.parametrize(
    ("seen", "complete", "because"),
    [
        (MOVED, None, SilenceReason.TELEMETRY_INCOMPLETE),
        (replace(MOVED, old=None), LONG_AGO, SilenceReason.OLD_NEVER_SEEN),
        (replace(MOVED, new=None), LONG_AGO, SilenceReason.NEW_NOT_IN_USE),
        (replace(MOVED, new=trace(0)), LONG_AGO, SilenceReason.NEW_NOT_IN_USE),  # not one whole period yet
        (replace(MOVED, new=trace(100, 124, 148)), LONG_AGO, SilenceReason.NEW_NOT_IN_USE),  # the old came after it
        (
            UsageEvidence(trace(700, 724, 748), trace(600, 624, 648), {}),
            LONG_AGO,
            SilenceReason.NEW_NOT_IN_USE,
        ),  # all is silent
        (UsageEvidence(trace(200), trace(0), {}), LONG_AGO, SilenceReason.NO_RHYTHM),
        (replace(MOVED, callers={"job": (trace(400), None)}), LONG_AGO, SilenceReason.CALLER_NOT_MOVED),
        (MOVED, LONG_AGO, SilenceReason.TOO_SHORT),
    ],
)
def test_what_is_not_shown_is_not_enough(
    seen: UsageEvidence, complete: datetime | None, because: SilenceReason
) -> None:
    found = silence(seen, complete, NOW)
    assert (found.because, found.enough) == (because, False)


def test_silence_counts_only_since_everything_is_counted() -> None:
    seen = UsageEvidence(trace(*range(240, 24 * 20, 24)), trace(*range(0, 240, 24)), {})
    assert silence(seen, LONG_AGO, NOW).enough
    found = silence(seen, NOW - 2 * DAY, NOW)
    assert (found.because, found.silent_for) == (SilenceReason.TOO_SHORT, 2 * DAY)


def at(moment: datetime, like: UseHistory) -> UseHistory:
    """Return uses like those, the last one at that very moment."""
    return replace(like, last_at=moment)


def test_the_edges_of_silence() -> None:
    old, new = trace(*range(120, 150)), trace(*range(120))
    pause = 2 * HOUR
    for last, because in (
        (NOW - MINIMUM_SILENCE, SilenceReason.SILENT),
        (NOW - MINIMUM_SILENCE + TICK, SilenceReason.TOO_SHORT),
    ):
        assert silence(UsageEvidence(at(last, old), new, {}), LONG_AGO, NOW).because is because
    for last, because in (
        (NOW - PAUSES_NEEDED * pause, SilenceReason.SILENT),
        (NOW - PAUSES_NEEDED * pause - TICK, SilenceReason.NEW_NOT_IN_USE),
    ):
        assert silence(UsageEvidence(old, at(last, new), {}), LONG_AGO, NOW).because is because
    for first, because in ((NOW - pause, SilenceReason.SILENT), (NOW - pause + TICK, SilenceReason.NEW_NOT_IN_USE)):
        assert silence(UsageEvidence(old, replace(new, first_at=first), {}), LONG_AGO, NOW).because is because
    same = at(old.last_at, trace(120, 121, 122))
    assert silence(UsageEvidence(old, same, {}), LONG_AGO, NOW).because is SilenceReason.NEW_NOT_IN_USE


def test_the_edges_of_lagging() -> None:
    hourly = trace(10, 11, 12)
    assert list(callers_not_moved(UsageEvidence(None, None, {"a": (at(NOW - 6 * HOUR, hourly), None)}), NOW)) == []
    assert list(
        callers_not_moved(UsageEvidence(None, None, {"a": (at(NOW - 6 * HOUR + TICK, hourly), None)}), NOW)
    ) == ["a"]
    assert list(callers_not_moved(UsageEvidence(None, None, {"a": (trace(1), trace(1))}), NOW)) == ["a"]


def test_a_caller_lags_until_it_uses_the_new_or_has_missed_its_own_rhythm() -> None:
    weekly = trace(170, 338, 506)
    gone = trace(*range(300, 330))
    seen = UsageEvidence(None, None, {"moved": (trace(60), trace(2)), "weekly": (weekly, None), "gone": (gone, None)})
    assert list(callers_not_moved(seen, NOW)) == ["weekly"]
    assert list(callers_not_moved(seen, NOW + 20 * DAY)) == []
    back = UsageEvidence(None, None, {"both": (trace(1), trace(2))})
    assert list(callers_not_moved(back, NOW)) == ["both"]


@st.composite
def fleets(draw: st.DrawFn) -> tuple[UsageEvidence, bool]:
    """Draw callers that use a secret in a rhythm of their own for 30 days, ± half a period; some of them move over.

    Also return whether one of them goes on using the old secret.
    """
    callers: dict[str, tuple[UseHistory | None, UseHistory | None]] = {}
    staying = False
    for number in range(draw(st.integers(1, 4))):
        period = draw(st.integers(1, 100))
        moved = draw(st.integers(0, 20 * 24) | st.none())
        ages = []
        age = draw(st.integers(0, period))
        while age < 30 * 24:
            ages.append(age)
            age += max(1, period + draw(st.integers(-(period // 2), period // 2)))
        old = [item for item in ages if moved is None or item > moved]
        new = [item for item in ages if moved is not None and item <= moved]
        callers[f"caller-{number}"] = (trace(*old) if old else None, trace(*new) if new else None)
        staying = staying or (moved is None and bool(old))
    return UsageEvidence(_all(callers, 0), _all(callers, 1), callers), staying


def _all(callers: dict[str, tuple[UseHistory | None, UseHistory | None]], which: int) -> UseHistory | None:
    found = [item[which] for item in callers.values()]
    ages = [(HERE - hour) for item in found if item is not None for hour in item.hours]
    return trace(*ages) if ages else None


@given(fleets())
def test_a_caller_that_keeps_its_rhythm_never_loses_its_secret(fleet: tuple[UsageEvidence, bool]) -> None:
    seen, staying = fleet
    assert not (staying and silence(seen, LONG_AGO, NOW).enough)


def test_the_caller_that_is_several_has_not_moved_because_one_of_them_has() -> None:
    hourly = trace(*range(30, 60))
    assert list(callers_not_moved(UsageEvidence(None, None, {"": (trace(60), trace(2))}), NOW)) == [""]
    assert list(callers_not_moved(UsageEvidence(None, None, {"": (hourly, trace(2))}), NOW)) == []


# --- forecast --------------------------------------------------------------------------------------------------------


def uses(*counts: int) -> dict[int, int]:
    """Return uses in the last whole hours, the latest last."""
    return {HERE - len(counts) + index: count for index, count in enumerate(counts)}


def test_too_little_is_no_trend() -> None:
    assert forecast(uses(5, 5), NOW - 3 * HOUR, NOW) == Forecast(known=False)
    assert forecast(uses(5, 5), NOW - 3 * HOUR, NOW).in_time(NOW) is None


def test_use_that_halves_ends_after_as_many_halvings_as_it_takes() -> None:
    found = forecast(uses(16, 16, 8, 8), NOW - 5 * HOUR, NOW)
    assert found.ends_at == NOW + 8 * HOUR  # 16 in the last two hours: four halvings of two hours each
    assert found.in_time(NOW + 8 * HOUR)
    assert not found.in_time(NOW + 7 * HOUR)


@pytest.mark.parametrize("counts", [(8, 8, 8, 8), (1, 1, 8, 8), (0, 0, 1, 0)])
def test_use_that_does_not_fall_has_no_end(counts: tuple[int, ...]) -> None:
    found = forecast(uses(*counts), NOW - 5 * HOUR, NOW)
    assert (found, found.in_time(NOW + 99 * DAY)) == (Forecast(known=True), False)


def test_use_that_stopped_has_ended() -> None:
    assert forecast(uses(8, 8, 0, 0), NOW - 5 * HOUR, NOW).ends_at == NOW
    assert forecast({}, NOW - 5 * HOUR, NOW).in_time(NOW + HOUR)


@pytest.mark.parametrize(("earlier", "later"), [(100_001, 100_000), (10**18 + 1, 10**18), (2, 1)])
def test_a_forecast_with_almost_no_decline_has_no_end(earlier: int, later: int) -> None:
    """100 001 uses and then 100 000 raised OverflowError: the answer was 500, and alerts stopped silently."""
    estimate = forecast({HERE - 4: earlier, HERE - 2: later}, NOW - 5 * HOUR, NOW)
    assert estimate.known
    assert (estimate.ends_at is None) is (later > 1)


@given(st.dictionaries(st.integers(HERE - 100, HERE), st.integers(1, 10**9)), st.integers(0, 200), st.integers(0, 60))
def test_a_forecast_never_lies_before_now(counts: dict[int, int], ago: int, minutes: int) -> None:
    now = NOW + timedelta(minutes=minutes)
    found = forecast(counts, now - ago * HOUR, now)
    assert found.ends_at is None or found.ends_at >= now
