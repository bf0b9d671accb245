"""Address ranges of clients: which are taken, and which sources are in one."""

from __future__ import annotations

import pytest
from keyturn.domain.client_access import MOST_SOURCES, checked_sources, permits
from keyturn.domain.errors import InvalidRequest
from keyturn.verifier.failure_limits import source_of


def test_ranges_are_stored_in_one_form_and_once() -> None:
    given = ["192.0.2.7", "192.0.2.7/32", "198.51.100.0/24", "2001:DB8:0::/48", "::1"]
    assert checked_sources(given) == ("192.0.2.7/32", "198.51.100.0/24", "2001:db8::/48", "::1/128")


@pytest.mark.parametrize(
    "texts",
    [
        ["192.0.2.1/24"],
        ["192.0.2.0/33"],
        ["anywhere"],
        [""],
        ["2001:db8::1"],
        ["192.0.2.0/24 198.51.100.0/24"],
        [f"10.{n}.0.0/16" for n in range(MOST_SOURCES + 1)],
    ],
)
def test_no_other_range_is_taken(texts: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        checked_sources(texts)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("::ffff:192.0.2.1", True),
        ("2001:db8:0:5::1", True),
        ("2001:db8:1::1", False),
        ("127.0.0.1", False),
        (None, False),
    ],
)
def test_a_source_is_in_a_range_or_not(address: str | None, expected: bool) -> None:  # noqa: FBT001 - an expectation
    ranges = checked_sources(["192.0.2.0/24", "2001:db8::/48"])
    assert permits(ranges, source_of(address)) is expected
    assert permits((), source_of(address))


def test_this_machine_is_in_a_range_of_loopback() -> None:
    for text in ("127.0.0.0/8", "127.0.0.1", "::1"):
        assert permits(checked_sources([text]), source_of("127.0.0.1"))
