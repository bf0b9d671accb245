"""Failure budgets: who guesses waits, who is known passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import flask
import pytest
from keyturn.domain.errors import RateLimited
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Cloud
from keyturn.entry.http import requests
from keyturn.verifier import failure_limits as budgets
from keyturn.verifier.failure_limits import FailureLimits, source_of
from keyturn.verifier.verifier import Caching, Verifier
from werkzeug.test import EnvironBuilder

from tests.verifier.stage import CountedMac, Stage
from tests.verifier.token_requests import oauth_error
from tests.world import CLIENT, gateway

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.world import World

GUESS = "A" * 43
HERE, THERE = "203.0.113.9", "198.51.100.7"


class Hands:
    """A process's clock, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_budget_is_a_burst_and_then_one_a_second() -> None:
    clock = Hands()
    budget = FailureLimits(clock, burst=3)
    for _ in range(3):
        budget.admit(HERE)
        budget.charge(HERE)
    with pytest.raises(RateLimited) as refused:
        budget.admit(HERE)
    assert refused.value.retry_after_seconds == 1
    budget.admit(THERE)
    clock.seconds += 1
    budget.admit(HERE)
    clock.seconds += 10_000
    for _ in range(3):
        budget.admit(HERE)
        budget.charge(HERE)


def test_no_source_has_no_budget() -> None:
    budget = FailureLimits(Hands(), burst=1)
    for _ in range(3):
        budget.charge("")
        budget.admit("")


def test_the_oldest_source_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "MOST_SOURCES", 2)
    budget = FailureLimits(Hands(), burst=1)
    for source in ("a", "b", "c"):
        budget.charge(source)
    budget.admit("a")
    for source in ("b", "c"):
        with pytest.raises(RateLimited):
            budget.admit(source)


SOURCES = {
    "203.0.113.9": "203.0.113.9",
    " 203.0.113.9 ": "203.0.113.9",
    "::ffff:203.0.113.9": "203.0.113.9",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "127.0.0.1": "",
    "::1": "",
    "::ffff:127.0.0.1": "",
    "": "",
    "not an address": "",
}


@pytest.mark.parametrize("address", SOURCES)
def test_the_source_of_an_address(address: str) -> None:
    assert source_of(address) == SOURCES[address]


def test_kept_verdicts_pass_while_guesses_from_the_same_source_wait() -> None:
    stage = Stage()
    secret, clock = stage.promote("acme"), Hands()
    verifier = Verifier(
        stage.store,
        CountedMac(),
        stage.policy,
        caching=Caching(clock, background=lambda _poll: None),
        failure_limits=FailureLimits(clock, burst=2),
    )
    assert verifier.check("acme", secret, source=HERE).accepted
    for _ in range(2):
        assert not verifier.check("acme", GUESS, source=HERE).accepted
    with pytest.raises(RateLimited):
        verifier.check("acme", GUESS, source=HERE)
    assert verifier.check("acme", secret, source=HERE).accepted
    assert not verifier.check("acme", GUESS, source=THERE).accepted


def guess(path: str, data: bytes, headers: dict[str, str]) -> TestResponse:
    return gateway().post(f"/client_token{path}", data=data, headers=headers, environ_base={"REMOTE_ADDR": HERE})


def test_both_doors_answer_429_and_say_when_to_come_back(world: World) -> None:
    secret = world.issue("alice", "bob")
    headers = {"X-Client-Id": CLIENT, "X-API-Key": GUESS}
    statuses = [guess("/check", b"", headers).status_code for _ in range(budgets.BURST + 5)]
    assert set(statuses[: budgets.BURST]) == {401}
    last = guess("/check", b"", headers)
    assert (last.status_code, last.headers["Retry-After"], last.json["error"]) == (429, "1", "rate_limited")  # type: ignore[index]  # an object
    form = f"grant_type=client_credentials&client_id={CLIENT}&client_secret={GUESS}".encode()
    token = guess("/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert oauth_error(token) == (429, "temporarily_unavailable")
    assert world.check(secret)["accepted"]


def test_in_the_cloud_the_source_is_what_the_front_end_appended(world: World) -> None:
    environ = {"REMOTE_ADDR": "169.254.1.1", "HTTP_X_FORWARDED_FOR": f"{THERE}, {HERE}"}
    request = flask.Request(EnvironBuilder(environ_overrides=environ).get_environ())
    assert requests.source(request) == "169.254.1.1"
    keys = {"mac_key": "m", "seal_key": "s", "sign_key": "t"}
    cloud = Cloud(project="p", control="c", auth="a", usage="u", **keys)
    wiring.use(Suite(replace(world.suite.settings, cloud=cloud)))
    assert requests.source(request) == HERE
