"""Which key signs access tokens: the deployment's, or one of a key file that settings name."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.domain.errors import Conflict
from keyturn.entry.composition import suite as wiring
from keyturn.entry.config.settings import Settings, Stage, from_environment, to_environment
from keyturn.proofs.jwk import ALGORITHMS
from keyturn.proofs.jws import read_unverified
from keyturn.use_cases.clients.disable_signing_key import DisableSigningKey

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
    assert key["kid"] not in {item.kid for item in world.keys.signer.public_keys()}
    assert world.suite.verification.token_checker.check(cast("Any", answer.json)["access_token"]).verdict.accepted
    own.add_version("sign")
    assert claims_of(world, post(world, GRANT, (CLIENT, secret)))["client_id"] == CLIENT


def test_a_file_that_is_not_there_is_made_by_nobody(world: World, secret: str, tmp_path: Path) -> None:
    answer = post(world, GRANT, (CLIENT, secret))
    assert oauth_error(answer) == (503, "temporarily_unavailable")
    assert not (tmp_path / "own").exists()


def test_swap_of_a_mounted_file_needs_no_restart(world: World, secret: str, tmp_path: Path) -> None:
    """As Kubernetes does: a new folder, a rename of `..data`, and the old folder is deleted."""
    keys, mount = LocalKeys.open_or_create(tmp_path / "keys" / "sign.json", os.urandom), tmp_path / "own"

    def token_of(state: str) -> str:
        (mount / state).mkdir(parents=True)
        (mount / state / "sign.json").write_bytes((tmp_path / "keys" / "sign.json").read_bytes())
        (mount / state / "sign.json").chmod(0o440)
        (mount / "..next").symlink_to(state)
        (mount / "..next").rename(mount / "..data")
        return str(cast("Any", post(world, GRANT, (CLIENT, secret)).json)["access_token"])

    mount.mkdir()
    (mount / "sign.json").symlink_to("..data/sign.json")
    old = token_of("..2026_03_01")
    keys.add_version("sign")
    new = token_of("..2026_03_02")
    shutil.rmtree(mount / "..2026_03_01")

    assert read_unverified(old).header["kid"] != read_unverified(new).header["kid"]
    accepted = [world.suite.verification.token_checker.check(token).verdict.accepted for token in (old, new)]
    assert accepted == [True, True]


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


def keys_of(world: World) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json)["keys"]
    return keys


def token_of(world: World, secret: str) -> str:
    return str(cast("Any", post(world, GRANT, (CLIENT, secret)).json)["access_token"])


def algorithm_of(token: str) -> str:
    return read_unverified(token).header["alg"]


def test_a_client_may_have_tokens_by_rs256(world: World) -> None:
    secret = world.issue("alice", "bob")
    before = token_of(world, secret)
    changed = world.operator(f"/clients/{CLIENT}/tokens", {"algorithm": "RS256"})
    assert cast("Any", changed.json)["tokens"]["algorithm"] == "RS256"
    after = token_of(world, secret)
    assert [algorithm_of(token) for token in (before, after)] == ["ES256", "RS256"]
    assert [key["alg"] for key in keys_of(world)] == ["ES256", "RS256"]
    for token in (before, after):
        assert jwt.decode(token, KeySet.import_key_set({"keys": cast("Any", keys_of(world))}), algorithms=ALGORITHMS)
        assert world.suite.verification.token_checker.check(token).verdict.accepted
    refused = world.operator(f"/clients/{CLIENT}/tokens", {"algorithm": "none"})
    assert (refused.status_code, cast("Any", refused.json)["reason"]) == (400, "bad_token_terms")


def test_a_deployment_may_have_tokens_by_rs256(world: World) -> None:
    secret = world.issue("alice", "bob")
    settings = replace(world.suite.settings, token_algorithm="RS256")
    assert from_environment(to_environment(replace(settings, data=None))).token_algorithm == "RS256"
    wiring.use(replace(world.suite, settings=settings))
    assert algorithm_of(token_of(world, secret)) == "RS256"
    world.operator(f"/clients/{CLIENT}/tokens", {"algorithm": "ES256"})
    assert algorithm_of(token_of(world, secret)) == "ES256"


@pytest.mark.parametrize(("algorithm", "purpose"), [("ES256", "sign"), ("RS256", "sign_rs256")])
def test_tokens_by_a_leaked_key_are_refused(world: World, algorithm: str, purpose: str) -> None:
    secret = world.issue("alice", "bob")
    world.operator(f"/clients/{CLIENT}/tokens", {"algorithm": algorithm})
    leaked = token_of(world, secret)
    kid = read_unverified(leaked).header["kid"]
    disable = DisableSigningKey(world.keys)
    name = disable.find(kid)
    assert name is not None
    assert disable.find(name) == name
    with pytest.raises(Conflict):
        disable(name)
    world.keys.add_version(purpose)
    disable(name)
    assert kid not in {key["kid"] for key in keys_of(world)}
    assert not world.suite.verification.token_checker.check(leaked).verdict.accepted
    gate = world.call("GET", "/client_token/check", headers={"Authorization": f"Bearer {leaked}"})
    assert gate.status_code == 401
    assert world.suite.verification.token_checker.check(token_of(world, secret)).verdict.accepted


def test_a_replaced_key_has_another_id(tmp_path: Path) -> None:
    kids = {LocalKeys.open_or_create(tmp_path / name / "keys.json", os.urandom).signer.current() for name in "ab"}
    assert len(kids) == 2
