"""`keyturn client cutover` over the real doors, as it would be typed; its sentences over every answer that there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from keyturn.cli.commands.cutover import _SILENCE_SENTENCES, _report
from keyturn.domain.usage_silence import SilenceReason

from tests.cli.shell import Operator
from tests.world import CLIENT, World, gateway

pytestmark = pytest.mark.world("alice", "bob")


@pytest.fixture
def keyturn(world: World) -> Operator:
    return Operator(world)


def use(world: World, secret: str, agent: str) -> None:
    headers = {"X-Client-Id": CLIENT, "X-API-Key": secret, "User-Agent": agent}
    gateway().open("/client_token/check", method="POST", headers=headers)
    world.suite.verification.telemetry.flush()


def test_a_client_with_one_secret(world: World, keyturn: Operator) -> None:
    assert "all callers use the only secret" in keyturn("client", "cutover", CLIENT).stdout
    use(world, world.issue("alice", "bob"), "web/1")
    shown = keyturn("client", "cutover", CLIENT).stdout
    assert "secret uses" in shown
    assert "all callers use the only secret" in shown


def test_a_transition_in_words_and_as_one_object(world: World, keyturn: Operator) -> None:
    old = world.issue("alice", "bob")
    use(world, old, "web/1")
    world.clock.advance(hours=1)
    new = world.issue("alice", "bob")
    use(world, new, "web/1")
    use(world, old, "job/1")
    shown = keyturn("client", "cutover", CLIENT)
    assert shown.exit_code == 0, shown.stderr
    assert "50.0%" in shown.stdout
    assert "CALLER" in shown.stdout
    assert "too early to predict" in shown.stdout
    assert _SILENCE_SENTENCES["no_rhythm"] in shown.stdout
    told = json.loads(keyturn("client", "cutover", CLIENT, "--json").stdout)
    assert (told["old_share"], told["in_transition"]) == (0.5, True)
    assert keyturn("client", "cutover", "nobody").exit_code == 1
    callers = {item["caller"] for item in told["callers"]}
    asked = [
        json.loads(keyturn("client", "cutover", CLIENT, "--agent", name, "--json").stdout) for name in ("web", "x")
    ]
    assert [item["asked_caller"] in callers for item in asked] == [True, False]
    assert f"are {asked[0]['asked_caller']}." in keyturn("client", "cutover", CLIENT, "--agent", "web/9").stdout


VERSION = {"version_id": "01J00000000000000000000000", "uses": 3, "uses_last_day": 1, "first_at": 1, "last_at": 2}
ANSWER: dict[str, Any] = {
    "client_id": "acme",
    "now": 1_000_000,
    "rolled_back": False,
    "since": 10,
    "not_after": 2_000_000,
    "old": VERSION,
    "new": VERSION,
    "old_share": 0.25,
    "old_share_last_day": None,
    "failures": {"count": 0, "last_at": None},
    "callers": [
        {"caller": "", "lags": True, "old_uses": 1, "old_last_at": 2, "new_uses": 0, "new_last_at": None},
    ],
    "silence": {"because": "silent", "silent_for_ms": 200_000_000, "needed_ms": 100_000_000},
    "forecast": {"known": True, "ends_at": 1_500_000, "in_time": True},
    "at_risk": False,
    "retire": {"proposed": True, "by_policy": False},
}


def said(capsys: pytest.CaptureFixture[str], **changes: object) -> str:
    _report({**ANSWER, **changes})
    return capsys.readouterr().out


def test_a_proposal_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys)
    assert "`keyturn retire acme --reason silent`" in shown
    assert "Unused for 2d, and 1d are needed" in shown
    assert "before the grace period ends" in shown
    assert "(others)" in shown


def test_by_policy_nothing_has_to_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, retire={"proposed": True, "by_policy": True})
    assert "within the hour" in shown
    assert "keyturn retire" not in shown


@pytest.mark.parametrize(
    ("forecast", "sentence"),
    [
        ({"known": False, "ends_at": None, "in_time": None}, "too early to predict"),
        ({"known": True, "ends_at": None, "in_time": False}, "is not falling"),
        ({"known": True, "ends_at": 1_000_000, "in_time": True}, "has ended"),
        ({"known": True, "ends_at": 3_000_000, "in_time": False}, "too late"),
    ],
)
def test_each_forecast_has_its_sentence(
    capsys: pytest.CaptureFixture[str], forecast: dict[str, object], sentence: str
) -> None:
    assert sentence in said(capsys, forecast=forecast)


def test_risk_and_rollback_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert "its end is near" in said(capsys, at_risk=True)
    shown = said(capsys, rolled_back=True)
    assert "rolled back" in shown
    assert "keyturn retire" not in shown


def test_every_reason_has_its_sentence() -> None:
    assert set(_SILENCE_SENTENCES) == set(SilenceReason)
