from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.cli.durations import format_age, format_duration, parse_duration
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import milliseconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("007m", 420)]
)
def test_a_number_with_a_unit_is_a_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "m",
        "-1s",
        "1.5h",
        "1 h",
        "1w",
        "1h30m",
        "\N{ARABIC-INDIC DIGIT ONE}s",
        "1s\n",
        "3651d",
        "9" * 10 + "d",
    ],
)
def test_anything_else_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_duration(text)
    assert refused.value.hint
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(("text", "written"), [("60s", "1m"), ("90s", "90s"), ("24h", "1d"), ("0d", "0s")])
def test_a_duration_is_written_in_its_largest_whole_unit(text: str, written: str) -> None:
    assert format_duration(parse_duration(text)) == written


@given(st.integers(min_value=0, max_value=3650 * 86_400))
def test_what_is_written_reads_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration
    assert milliseconds(duration) == seconds * 1000


@pytest.mark.parametrize(
    ("seconds", "age"), [(0, "0s"), (-5, "0s"), (59, "59s"), (119, "1m"), (7_199, "1h"), (8 * 86_400 + 5, "8d")]
)
def test_ages_are_in_the_largest_unit_that_has_passed(seconds: int, age: str) -> None:
    assert format_age(timedelta(seconds=seconds)) == age
