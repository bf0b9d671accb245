"""Usage adds up: whatever the order of what is added, and what is of long ago is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.domain.usage_silence import HOUR, hour_of
from keyturn.records.usage import (
    USE_RETENTION,
    CallerUse,
    ClientFailures,
    VersionUse,
    merge_failures,
    merge_uses,
    pack,
    pack_hours,
    unpack,
    unpack_hours,
)

START = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def caller(tag: str, *moments: datetime) -> CallerUse:
    hours = {hour_of(moment) for moment in moments}
    return CallerUse(tag, len(moments), min(moments), max(moments), pack_hours(hours))


def use(*moments: datetime, callers: tuple[CallerUse, ...] = ()) -> VersionUse:
    hours = {hour_of(moment): sum(hour_of(other) == hour_of(moment) for other in moments) for moment in moments}
    last_at = max(moments)
    return VersionUse("acme", "V1", len(moments), min(moments), last_at, pack(hours), callers, last_at + USE_RETENTION)


def failures(*moments: datetime) -> ClientFailures:
    hours = {hour_of(moment): sum(hour_of(other) == hour_of(moment) for other in moments) for moment in moments}
    return ClientFailures("acme", len(moments), max(moments), pack(hours), max(moments) + USE_RETENTION)


MOMENTS = st.lists(st.integers(0, 48).map(lambda hours: START + hours * HOUR), min_size=1, max_size=6)


@given(MOMENTS, MOMENTS)
def test_adding_is_counting_all_together(one: list[datetime], other: list[datetime]) -> None:
    first, second = (use(*moments, callers=(caller("web", *moments),)) for moments in (one, other))
    together = use(*one, *other, callers=(caller("web", *one, *other),))
    assert merge_uses(first, second) == merge_uses(second, first) == together
    assert merge_failures(failures(*one), failures(*other)) == failures(*one, *other)


def test_what_is_older_than_is_kept_is_forgotten_to_the_hour() -> None:
    late = START + USE_RETENTION
    kept = merge_uses(use(START, callers=(caller("a", START),)), use(late, callers=(caller("b", late),)))
    assert set(unpack(kept.hours)) == {hour_of(START), hour_of(late)}
    assert [item.caller for item in kept.callers] == ["a", "b"]
    later = late + HOUR
    gone = merge_uses(kept, use(later, callers=(caller("b", later),)))
    assert set(unpack(gone.hours)) == {hour_of(late), hour_of(later)}
    assert (gone.count, gone.first_at, [item.caller for item in gone.callers]) == (3, START, ["b"])
    assert set(unpack(merge_failures(failures(START), failures(later)).hours)) == {hour_of(later)}


def test_a_callers_hours_are_forgotten_too() -> None:
    late = START + USE_RETENTION
    same = merge_uses(use(START, callers=(caller("a", START),)), use(late, callers=(caller("a", late),)))
    assert unpack_hours(same.callers[0].hours) == {hour_of(START), hour_of(late)}
    again = merge_uses(same, use(late + HOUR, callers=(caller("a", late + HOUR),)))
    assert unpack_hours(again.callers[0].hours) == {hour_of(late), hour_of(late) + 1}
    assert (again.callers[0].first_at, again.callers[0].count) == (START, 3)


@pytest.mark.parametrize(("most", "tags"), [(3, {"a", "b", "c"}), (2, {"a", "b", ""}), (1, {"a", ""})])
def test_callers_beyond_the_bound_are_one(most: int, tags: set[str]) -> None:
    one = use(START, callers=tuple(caller(tag, START) for tag in "abc"))
    again = merge_uses(one, replace(one), most)
    assert {item.caller for item in again.callers} == tags
    assert sum(item.count for item in again.callers) == 6


def test_what_ends_latest_decides_when_it_may_go() -> None:
    early, late = use(START), use(START + timedelta(days=1))
    assert merge_uses(late, early).expires_at == late.expires_at
    assert merge_failures(failures(late.last_at), failures(START)).expires_at == late.expires_at


@pytest.mark.parametrize("text", ["1", "1:2:3", "a:b", "1-a", "1 2:"])
def test_what_is_no_text_of_hours_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"literal|unpack|sequence"):
        unpack(text) if ":" in text or text == "1" else unpack_hours(text)
