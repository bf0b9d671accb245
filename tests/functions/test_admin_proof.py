"""The door `admin_proof` as functions-framework serves it, with real keys and stores, on one machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import jwt
import pytest
from keyturn.entry.composition import suite as wiring

from tests.functions.possession import POSSESSION, URL, Door
from tests.proving.stage import Stage as People

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    found = Door(tmp_path, People(tmp_path))
    wiring.use(found.suite)
    yield found
    wiring.use(None)


def test_a_proof_is_had_by_whoever_proves_everything(door: Door) -> None:
    answer = door.prove(door.body())
    assert answer.status_code == 200, answer.text
    proof = cast("dict[str, Any]", answer.json)["jwt_proof"]
    keys = jwt.PyJWKSet.from_dict(cast("dict[str, Any]", door.client.get("/.well-known/jwks.json").json))
    claims = jwt.decode(
        proof,
        keys.keys[0],
        algorithms=["ES256"],
        audience=f"{URL}/rotate_request",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["sub"] == "alice"
    event = door.people.event(proof=proof)
    assert (
        door.people.door(authoriser=door.proofs.authoriser("rotate_request"))(event.to_json().encode())["client_id"]
        == "acme"
    )


def test_possession_is_of_the_very_request(door: Door) -> None:
    body = door.body()
    assert door.prove(body, url="https://other.example").status_code == 401
    assert door.post("/proof", json.dumps(body).encode()).status_code == 400
    signed_by_mallory = door.prove(body, user="mallory")
    assert (signed_by_mallory.status_code, _reason(signed_by_mallory)) == (401, "proof_refused")


@pytest.mark.parametrize("name", POSSESSION)
def test_possession_that_is_not_shown_for_this_request_is_refused(door: Door, name: str) -> None:
    forge, (status, reason) = POSSESSION[name]
    sent = json.dumps(door.body()).encode()
    answer = door.post("/proof", sent, {"Authorization": forge(door, sent)})
    assert (answer.status_code, _reason(answer)) == (status, reason)
    # Nothing was used up by it, for it was nobody's: the same request, signed as it must be, is good.
    assert door.people.admin().failures == 0
    assert door.post("/proof", sent, {"Authorization": door.signed(sent)}).status_code == 200


def test_a_signed_request_that_was_overheard_serves_once(door: Door) -> None:
    sent = json.dumps(door.body()).encode()
    header = {"Authorization": door.signed(sent)}
    answers = [door.post("/proof", sent, header) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert _reason(answers[1]) == "challenge_refused"


@pytest.mark.parametrize(
    "change",
    [
        {"device": None},
        {"device": {"kind": "dev_attest"}},
        {"totp": 123456},
        {"request_digest": "short"},
        {"mls_group": "../x"},
        {"id_token": "A" * 5000},
        {"challenge": "A" * 300},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_has_not_the_form_of_a_request_is_invalid(door: Door, change: dict[str, object]) -> None:
    answer = door.prove(door.body(change))
    assert (answer.status_code, cast("dict[str, Any]", answer.json)["error"]) == (400, "invalid_request")


def test_an_answer_does_not_say_what_was_missing(door: Door) -> None:
    answers = [
        door.prove(door.body({"totp": "000000"})),
        door.prove(door.body({"id_token": "junk"})),
        door.prove(door.body({"client_id": "another"})),
    ]
    assert len({answer.get_data() for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {401}


def _reason(answer: TestResponse) -> str:
    return str(cast("dict[str, Any]", answer.json)["reason"])


def test_nobody_uses_up_the_keys_quota_for_all_by_asking(door: Door) -> None:
    def ask(address: str, path: str = "/challenge") -> TestResponse:
        return door.client.post(path, environ_base={"REMOTE_ADDR": address})

    assert {ask("203.0.113.9").status_code for _ in range(60)} == {200}
    refused = ask("203.0.113.9")
    assert (refused.status_code, cast("Any", refused.json)["error"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    assert ask("203.0.113.9", "/proof").status_code == 429
    assert ask("203.0.113.10").status_code == 200
    assert {door.post("/challenge").status_code for _ in range(70)} == {200}  # one's own machine
