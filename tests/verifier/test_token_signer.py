"""Which key signs access tokens: the deployment's, or one of a key file that settings name."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.entry.composition import suite as wiring
from keyturn.entry.config.settings import Settings, Stage, from_environment, to_environment

from tests.verifier.token_requests import GRANT, claims_of, oauth_error, post
from tests.world import CLIENT

if TYPE_CHECKING:
    from tests.world import World


@pytest.fixture
def secret(world: World, tmp_path: Path) -> str:
    """Issue a secret, then have a file of its own sign the tokens."""
    secret = world.issue("alice", "bob")
    before = world.suite
    world.suite = replace(before, settings=replace(before.settings, sign_key_file=tmp_path / "own" / "sign.json"))
    wiring.use(world.suite)
    return secret


def test_a_file_that_settings_name_signs_the_tokens(world: World, secret: str, tmp_path: Path) -> None:
    own = LocalKeys.open_or_create(tmp_path / "own" / "sign.json", os.urandom)
    answer = post(world, GRANT, (CLIENT, secret))
    assert claims_of(world, answer)["client_id"] == CLIENT
    (key,) = cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json)["keys"]
    assert key["x"] not in {item.x for item in world.keys.signer.public_keys()}
    assert world.suite.verification.token_checker.check(cast("Any", answer.json)["access_token"]).verdict.accepted
    own.add_version("sign")
    assert claims_of(world, post(world, GRANT, (CLIENT, secret)))["client_id"] == CLIENT


def test_a_file_that_is_not_there_is_made_by_nobody(world: World, secret: str, tmp_path: Path) -> None:
    answer = post(world, GRANT, (CLIENT, secret))
    assert oauth_error(answer) == (503, "temporarily_unavailable")
    assert not (tmp_path / "own").exists()


def test_a_file_that_others_may_read_signs_nothing(world: World, secret: str, tmp_path: Path) -> None:
    LocalKeys.open_or_create(tmp_path / "own" / "sign.json", os.urandom)
    (tmp_path / "own" / "sign.json").chmod(0o644)
    assert post(world, GRANT, (CLIENT, secret)).status_code == 503


def test_the_file_is_a_setting() -> None:
    settings = Settings(stage=Stage.LOCAL, sign_key_file=Path("/run/keys/sign.json"))
    variables = to_environment(settings)
    assert variables["KEYTURN_SIGN_KEY_FILE"] == "/run/keys/sign.json"
    assert from_environment(variables).sign_key_file == settings.sign_key_file
    assert from_environment({"KEYTURN_STAGE": "local"}).sign_key_file is None
