"""`keyturn deny`, `stop` and `start`, as they would be typed, at the real functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.proofs.npub import encode_npub

from tests.cli.shell import Operator, assert_error

if TYPE_CHECKING:
    from tests.world import World

NPUB = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world)


def test_denying_listing_and_allowing(operator: Operator) -> None:
    assert operator("deny", "list").stdout == "The denylists are empty.\n"
    added = operator.json("deny", "add", "--user", "mallory", "--npub", encode_npub(NPUB), "--reason", "seen twice")
    assert added == {"users": ["mallory"], "npubs": [NPUB], "clients": [], "settings": [], "everywhere": True}
    operator.json("deny", "add", "--npub", NPUB, "--client", "acme", "--reason", "the same, as hex")
    lines = [line.split() for line in operator("deny", "list").stdout.splitlines()]
    assert lines[1:] == [["user", "mallory"], ["npub", encode_npub(NPUB)], ["client", "acme"]]
    left = operator.json("deny", "remove", "--npub", NPUB, "--user", "mallory", "--reason", "cleared")
    assert left == {"users": [], "npubs": [], "clients": ["acme"], "settings": [], "everywhere": True}


def test_stopping_and_starting(operator: Operator) -> None:
    assert "Only cancel, revoke and suspend" in operator("stop", "--reason", "a leak").stdout
    shown = operator("deny", "list")
    assert "The service is stopped since" in shown.stderr
    assert operator.json("deny", "list")["stop"]["reason"] == "a leak"
    assert operator.json("stop", "--reason", "again")["reason"] == "a leak"
    assert operator.json("start", "--reason", "sealed") == {
        "stopped": False,
        "since": None,
        "reason": None,
        "everywhere": True,
    }
    assert operator("deny", "list").stderr == ""


def test_a_client_is_shown_with_the_stop_that_stands(operator: Operator) -> None:
    operator.json("group", "create", "ops")
    operator.json("client", "add", "acme", "--group", "ops")
    assert operator("client", "show", "acme").stderr == ""
    operator.json("stop", "--reason", "a leak")
    assert "The operator has stopped the service" in operator("client", "show", "acme").stderr
    assert operator.json("client", "show", "acme")["stopped"] is True


def test_what_cannot_be_named_is_told(operator: Operator) -> None:
    assert_error(operator("deny", "add", "--reason", "x"), code=2, error="nothing to change", hint="Give --user")
    assert_error(
        operator("deny", "add", "--npub", "npub1abc", "--reason", "x"), code=2, error="not valid", hint="Copy it whole"
    )
    refused = operator("deny", "add", "--npub", "abc", "--reason", "x")
    assert (refused.exit_code, "64 lower-case hex digits" in refused.stderr) == (1, True)
    assert operator("stop").exit_code == 2
