"""Stages: the banner of a trial, the settings that production refuses, and functions without usable settings."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.entry.composition import suite as wiring
from keyturn.entry.config.settings import Settings, SettingsError, Stage, from_environment, to_environment

from tests.world import CLIENT, World, gateway

if TYPE_CHECKING:
    from pathlib import Path

BANNER = "TRIAL: unsafe_no_attestation"


TRIAL = pytest.mark.world("alice", "bob", stage=Stage.TRIAL)


@TRIAL
def test_a_trial_has_its_banner_in_every_response(world: World) -> None:
    world.issue("alice", "bob")
    answers = [
        world.operator("/clients"),
        world.operator("/clients/nobody-knows-this"),
        world.send(world.admins["alice"].rotation()),
        world.call("POST", "/rotate_request/", b"not json"),
        world.call("POST", "/client_token/check", b"", {"X-Client-Id": CLIENT, "X-API-Key": "wrong"}),
        world.call("POST", "/client_token/token", b""),
        world.call("GET", "/client_token/.well-known/jwks.json"),
        world.call("GET", "/status/clients/" + CLIENT),
        world.call("GET", "/no/such/function"),
        world.call("POST", "/distribute/", b"{}"),
    ]
    assert [cast("Any", answer.json)["banner"] for answer in answers] == [BANNER] * len(answers)
    assert {answer.headers["X-Keyturn-Banner"] for answer in answers} == {BANNER}


@TRIAL
def test_a_trial_has_its_banner_in_every_audit_entry(world: World) -> None:
    world.issue("alice", "bob")
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    world.clock.advance(hours=2)
    world.sweep()
    entries = [world.document(path) for path in world.documents() if "/audit/" in path]
    assert len(entries) > 10
    assert {entry.get("banner") for entry in entries} == {BANNER}


@pytest.mark.world("alice")
def test_one_machine_has_no_banner(world: World) -> None:
    answer = world.operator("/clients")
    assert "banner" not in cast("Any", answer.json)
    assert "X-Keyturn-Banner" not in answer.headers
    assert not [path for path in world.documents() if "banner" in str(world.document(path).get("banner", ""))]


@pytest.mark.parametrize("stage", ["production", None])
def test_production_names_unsafe_settings_and_echoes_no_value(stage: str | None) -> None:
    given = {"KEYTURN_DATA": "/somewhere/else", "KEYTURN_AUTHORISER": "unsafe_no_attestation"}
    if stage:
        given["KEYTURN_STAGE"] = stage
    with pytest.raises(SettingsError) as refused:
        from_environment(given)
    assert "unsafe_no_attestation" in str(refused.value)
    assert "KEYTURN_DATA" in str(refused.value)
    assert "/somewhere" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"KEYTURN_STAGE": "staging-of-ours"},
        {"KEYTURN_STAGE": "local", "KEYTURN_POLICY_GRACE_SECONDS": "a-week-or-so"},
        {"KEYTURN_STAGE": "local", "KEYTURN_POLICY_UNHEARD_OF": "1"},
    ],
)
def test_a_malformed_setting_is_refused_without_its_value(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refused:
        from_environment(given)
    assert not [value for value in given.values() if len(value) > 5 and value in str(refused.value)]


def test_settings_survive_the_environment(tmp_path: Path) -> None:
    settings = Settings(stage=Stage.LOCAL, data=tmp_path, base_url="http://127.0.0.1:1", audience="us")
    assert from_environment(to_environment(settings)) == settings


def test_functions_with_refused_settings_answer_an_opaque_problem(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("KEYTURN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KEYTURN_STAGE", "production")
    monkeypatch.setenv("KEYTURN_DATA", str(tmp_path))
    wiring.use(None)
    try:
        answer = gateway().post("/client_token/check", headers={"X-Client-Id": CLIENT, "X-API-Key": "some-secret"})
    finally:
        wiring.use(None)
    problem = json.loads(answer.text)
    assert (answer.status_code, problem["error"], answer.mimetype) == (
        500,
        "internal_error",
        "application/problem+json",
    )
    assert "some-secret" not in answer.text + caplog.text
    assert str(tmp_path) not in answer.text + caplog.text
    assert "stage production refuses: local store and key file (KEYTURN_DATA)" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.world("alice", "bob")
def test_a_denied_admin_can_do_nothing(world: World) -> None:
    world.denied = frozenset({"bob"})
    world.serve(world.policy)
    world.send(world.admins["alice"].rotation())
    world.pump()
    rotation_id = world.document(f"oauth2_clients/{CLIENT}")["active_rotation"]
    refused = [world.send(event) for event in (world.admins["bob"].rotation(), world.admins["bob"].ack(rotation_id))]
    assert [(item.status_code, cast("Any", item.json)["reason"]) for item in refused] == [(403, "denied")] * 2


@pytest.mark.world("alice", "bob", client={"policy": {"requests_per_hour_per_client": 2}})
def test_a_rate_limited_request_learns_when_to_retry(world: World) -> None:
    for _turn in range(2):
        rotation_id = cast("Any", world.send(world.admins["alice"].rotation()).json)["rotation_id"]
        world.clock.advance(minutes=10)
        world.send(world.admins["bob"].action("cancel", {"rotation_id": rotation_id}))
    answer = world.send(world.admins["bob"].rotation())
    assert (answer.status_code, cast("Any", answer.json)["error"]) == (429, "rate_limited")
    assert answer.headers["Retry-After"] == str(40 * 60)
    world.clock.advance(minutes=40)
    assert world.send(world.admins["bob"].rotation()).status_code == 200
