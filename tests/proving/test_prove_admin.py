"""A proof that was come by honestly: what it says, where it serves, and what is left behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import jwt
import pytest
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from keyturn.domain.errors import RateLimited, Unauthenticated
from keyturn.domain.proofs_policy import LIFETIME_SECONDS, ProofRefused
from keyturn.ports.store import LostRace
from keyturn.proofs.statement import jti_of
from keyturn.records.admin import challenge_path
from keyturn.use_cases.admin_proof.prove import REFUSAL_SECONDS

from tests.proving.stage import ROTATION, URL

if TYPE_CHECKING:
    from keyturn.ports.store import Data

    from tests.proving.stage import Stage


def claims_of(proof: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(proof, options={"verify_signature": False})
    return claims


def test_a_proof_names_everything_that_it_is_bound_to(stage: Stage) -> None:
    asked = stage.asked()
    answer = stage.prover()(asked)
    claims = claims_of(str(answer["jwt_proof"]))
    bound = (claims["npub"], claims["mls_group"], claims["client_id"], claims["request_digest"])
    assert bound == (asked.act.npub, "ops", "acme", asked.act.digest)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (f"{URL}/admin_proof", f"{URL}/rotate_request", "alice")
    assert claims["amr"] == ["dev_attest", "pop", "totp"]
    assert claims["jti"] == jti_of(str(claims["nonce"]))
    assert answer["expires_at"] == int(str(claims["exp"])) * 1000
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == LIFETIME_SECONDS


def test_pyjwt_and_joserfc_verify_a_proof_alike(stage: Stage) -> None:
    proof = str(stage.prover()(stage.asked())["jwt_proof"])
    jwks = stage.issuer.jwks()
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(jwks)).keys}
    kid = jwt.get_unverified_header(proof)["kid"]
    options = {"verify_exp": False, "verify_iat": False}
    by_pyjwt = jwt.decode(proof, keys[kid], algorithms=["ES256"], audience=f"{URL}/rotate_request", options=options)  # type: ignore[arg-type]  # options are a typed dict there
    by_joserfc = jose.decode(proof, KeySet.import_key_set(jwks), algorithms=["ES256"])  # type: ignore[arg-type]  # a typed dict there
    assert by_pyjwt == by_joserfc.claims


def test_a_proof_serves_the_request_that_it_was_made_for_once(stage: Stage) -> None:
    event = stage.event(proof=stage.proof())
    answer = stage.door()(event.to_json().encode())
    assert answer["rotation_id"] == ROTATION
    again = stage.door()(event.to_json().encode())
    assert again == answer
    with pytest.raises(ProofRefused):
        stage.door()(stage.event(proof=_proof_of(event), seconds=1).to_json().encode())


def test_another_event_for_the_same_request_gets_its_answer_with_a_proof_of_its_own(stage: Stage) -> None:
    first = stage.door()(stage.event(proof=stage.proof()).to_json().encode())
    second = stage.door()(stage.event(proof=stage.proof()).to_json().encode())
    assert first == second


def test_a_request_that_the_lifecycle_refuses_leaves_the_proof_unused(stage: Stage) -> None:
    proof = stage.proof()
    path = stage.authoriser().reads(proof)[0]
    with pytest.raises(ProofRefused):
        stage.door()(stage.event("bob", proof=proof).to_json().encode())
    assert not stage.databases.control.get([path])[path].exists
    stage.door()(stage.event(proof=proof).to_json().encode())
    assert stage.databases.control.get([path])[path].exists


def test_two_processes_cannot_both_use_a_challenge(stage: Stage) -> None:
    asked = stage.asked()
    stage.prover()(asked)
    stage.now += timedelta(seconds=30)
    fresh = replace(asked, totp=stage.people["alice"].code(stage.now))
    with pytest.raises(Unauthenticated) as refusal:
        stage.prover()(fresh)
    assert refusal.value.reason == "challenge_refused"


def test_a_lost_race_looks_at_everything_again(stage: Stage) -> None:
    prover = stage.prover()
    inner, asked = stage.databases.auth, stage.asked()
    races = [LostRace("another request was faster")]

    class Contended:
        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

        def commit(self, writes: list[object], **given: object) -> object:
            if races:
                raise races.pop()
            return inner.commit(writes, **given)  # type: ignore[arg-type]  # passed through

    answer = replace(prover, databases=replace(stage.databases, auth=Contended()))(asked)  # type: ignore[arg-type]  # a store but for one call
    assert claims_of(str(answer["jwt_proof"]))["sub"] == "alice"
    assert stage.admin().last_step == int(stage.now.timestamp()) // 30


def test_wrong_codes_lock_with_growing_delays_that_the_store_remembers(stage: Stage) -> None:
    delays = []
    for _ in range(6):
        with pytest.raises(ProofRefused):
            stage.prover()(stage.asked(totp="000000"))
        until = stage.admin().locked_until
        delays.append(int((until - stage.now).total_seconds()) if until else 0)
        stage.now = (until or stage.now) + timedelta(seconds=1)
    assert delays == [0, 0, 30, 60, 120, 240]
    stage.prover()(stage.asked())
    assert (stage.admin().failures, stage.admin().locked_until) == (0, None)


def test_while_locked_no_code_is_looked_at_and_the_answer_says_how_long(stage: Stage) -> None:
    stage.change_admin(failures=4, locked_until=stage.now + timedelta(seconds=59.5))
    with pytest.raises(RateLimited) as refusal:
        stage.prover()(stage.asked())
    assert refusal.value.retry_after_seconds == 60
    assert stage.admin().last_step == 0


def test_a_lock_longer_than_the_longest_is_of_a_wrong_clock_and_ends(stage: Stage) -> None:
    stage.change_admin(failures=40, locked_until=stage.now + timedelta(hours=4, microseconds=1))
    with pytest.raises(ProofRefused):
        stage.prover()(stage.asked(totp="000000"))
    with pytest.raises(RateLimited) as refusal:  # but the next wrong code locks again
        stage.prover()(stage.asked())
    assert refusal.value.retry_after_seconds == 4 * 3600


def test_no_caller_locks_out_another_admin(stage: Stage) -> None:
    for _ in range(5):
        with pytest.raises(ProofRefused):
            stage.prover()(stage.with_counter(stage.asked(totp="000000"), by="mallory"))
    assert stage.admin().failures == 0


def test_a_wrong_code_uses_up_its_challenge(stage: Stage) -> None:
    asked = stage.asked(totp="000000")
    with pytest.raises(ProofRefused):
        stage.prover()(asked)
    nonce = stage.challenges().nonce(asked.challenge, stage.now)
    assert stage.databases.auth.get([challenge_path(nonce)])[challenge_path(nonce)].exists


@pytest.mark.parametrize("took", [0.0, 0.01, 0.24, 0.26, 0.7])
def test_every_refusal_leaves_at_a_multiple_of_the_same_time(stage: Stage, took: float) -> None:
    refused = [
        stage.asked(totp="000000"),
        stage.with_counter(stage.asked(), by="mallory"),
        replace(stage.asked(), act=stage.act(npub="ab" * 32)),
    ]
    for asked in refused:
        clock = iter((0.0, took))
        stage.slept.clear()
        with pytest.raises(ProofRefused):
            stage.prover(elapsed=lambda times=clock: next(times))(asked)
        whole = (took + stage.slept[-1]) / REFUSAL_SECONDS
        assert whole == pytest.approx(round(whole))
        assert whole >= 1


def test_a_challenge_stores_nothing(stage: Stage) -> None:
    answer: Data = stage.challenges().issue(stage.now)
    nonce = stage.challenges().nonce(str(answer["challenge"]), stage.now)
    assert not stage.databases.auth.get([challenge_path(nonce)])[challenge_path(nonce)].exists


def test_no_valid_proof_is_refused_while_keys_rotate_and_no_retired_key_is_believed(stage: Stage) -> None:
    old, kid = stage.proof(), stage.keys.signer.current()
    stage.keys.add_version("sign")
    new = stage.proof()
    rule = stage.authoriser()
    act = replace(stage.act(), user="alice")
    snapshot = stage.databases.control.get([*rule.reads(old), *rule.reads(new)])
    assert [len(rule.check(proof, act, snapshot)) for proof in (old, new)] == [1, 1]
    stage.keys.disable(next(key.name for key in stage.keys.enabled("sign") if stage.keys.kid_of(key.name) == kid))
    with pytest.raises(ProofRefused):
        rule.check(old, act, snapshot)
    assert len(rule.check(new, act, snapshot)) == 1


def test_secrets_stay_out_of_reprs(stage: Stage) -> None:
    asked = stage.asked()
    assert asked.totp not in repr(asked)
    assert asked.id_token not in repr(asked)
    assert repr(stage.admin().totp_sealed) not in repr(stage.admin())


def _proof_of(event: object) -> str:
    import json

    return str(json.loads(getattr(event, "content"))["jwt_proof"])  # noqa: B009 - the event's type is of no matter here
