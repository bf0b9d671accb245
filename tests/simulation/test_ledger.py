"""The cost of each use case, and the law by which it grows with clients and people."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.ledger import (
    BASE,
    BYTES_PER_PERSON,
    CALLS_PER_CLIENT,
    CALLS_PER_PERSON,
    MORE_CLIENTS,
    MORE_PEOPLE,
    Ledger,
    measure,
)

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
SLACK = 2
"""Calls by which two runs may differ: a retry, or the first use of a key."""


@pytest.fixture(scope="module")
def base() -> Ledger:
    return measure(BASE)


@pytest.fixture(scope="module")
def more_clients() -> Ledger:
    return measure(MORE_CLIENTS)


@pytest.fixture(scope="module")
def more_people() -> Ledger:
    return measure(MORE_PEOPLE)


def test_calls_grow_with_clients_only_where_the_ledger_says_so(base: Ledger, more_clients: Ledger) -> None:
    added = MORE_CLIENTS.clients - BASE.clients
    for name in base.costs:
        grown, allowed = more_clients.calls(name) - base.calls(name), CALLS_PER_CLIENT.get(name, 0) * added
        assert allowed - SLACK <= grown <= allowed + SLACK, name


def test_calls_grow_with_people_only_where_the_ledger_says_so(base: Ledger, more_people: Ledger) -> None:
    added = MORE_PEOPLE.people - BASE.people
    for name in base.costs:
        grown, allowed = more_people.calls(name) - base.calls(name), CALLS_PER_PERSON.get(name, 0) * added
        assert allowed - SLACK <= grown <= allowed + SLACK, name


def test_bytes_grow_with_the_people_of_a_group_alone(base: Ledger, more_clients: Ledger, more_people: Ledger) -> None:
    added = MORE_PEOPLE.people - BASE.people
    for name, cost in base.costs.items():
        assert more_people.costs[name].bytes - cost.bytes <= BYTES_PER_PERSON * added, name
        assert more_clients.costs[name].bytes - cost.bytes <= BYTES_PER_PERSON, name


def test_page_has_the_measured_costs(base: Ledger) -> None:
    rows = [line.strip("| ").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    shown = {row[0].strip(): int(row[1]) for row in rows if row[0].strip() in base.costs}
    assert shown.keys() == base.costs.keys()
    assert {name: calls for name, calls in shown.items() if abs(calls - base.calls(name)) > SLACK} == {}
