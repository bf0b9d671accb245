"""The function `admin_proof` under functions-framework, with real keys and stores, on one machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import jwt
import pytest
from keyturn.entry.composition import suite as wiring

from tests.functions.possession import POSSESSION, URL, AdminProof
from tests.proving.stage import Stage as People

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[AdminProof]:
    found = AdminProof(tmp_path, People(tmp_path))
    wiring.use(found.suite)
    yield found
    wiring.use(None)


def test_an_admin_with_all_evidence_gets_a_proof(endpoint: AdminProof) -> None:
    answer = endpoint.prove(endpoint.body())
    assert answer.status_code == 200, answer.text
    proof = cast("dict[str, Any]", answer.json)["jwt_proof"]
    keys = jwt.PyJWKSet.from_dict(cast("dict[str, Any]", endpoint.client.get("/.well-known/jwks.json").json))
    claims = jwt.decode(
        proof,
        keys.keys[0],
        algorithms=["ES256"],
        audience=f"{URL}/rotate_request",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["sub"] == "alice"
    event = endpoint.people.event(proof=proof)
    assert (
        endpoint.people.door(authoriser=endpoint.proofs.authoriser("rotate_request"))(event.to_json().encode())[
            "client_id"
        ]
        == "acme"
    )


def test_possession_is_bound_to_this_very_request(endpoint: AdminProof) -> None:
    body = endpoint.body()
    assert endpoint.prove(body, url="https://other.example").status_code == 401
    assert endpoint.post("/proof", json.dumps(body).encode()).status_code == 401
    signed_by_mallory = endpoint.prove(body, user="mallory")
    assert (signed_by_mallory.status_code, _reason(signed_by_mallory)) == (401, "proof_refused")


@pytest.mark.parametrize("name", POSSESSION)
def test_a_signature_that_does_not_hold_for_this_request_is_refused(endpoint: AdminProof, name: str) -> None:
    forge, (status, reason) = POSSESSION[name]
    sent = json.dumps(endpoint.body()).encode()
    answer = endpoint.post("/proof", sent, {"Authorization": forge(endpoint, sent)})
    assert (answer.status_code, _reason(answer)) == (status, reason)
    # Nothing was used up by it, for it was nobody's: the same request, signed as it must be, is good.
    assert endpoint.people.admin().failures == 0
    assert endpoint.post("/proof", sent, {"Authorization": endpoint.signed(sent)}).status_code == 200


def test_a_replayed_signed_request_is_refused(endpoint: AdminProof) -> None:
    sent = json.dumps(endpoint.body()).encode()
    header = {"Authorization": endpoint.signed(sent)}
    answers = [endpoint.post("/proof", sent, header) for _ in range(2)]
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
def test_a_malformed_request_is_invalid(endpoint: AdminProof, change: dict[str, object]) -> None:
    answer = endpoint.prove(endpoint.body(change))
    assert (answer.status_code, cast("dict[str, Any]", answer.json)["error"]) == (400, "invalid_request")


def test_a_refusal_does_not_name_the_missing_factor(endpoint: AdminProof) -> None:
    answers = [
        endpoint.prove(endpoint.body({"totp": "000000"})),
        endpoint.prove(endpoint.body({"id_token": "junk"})),
        endpoint.prove(endpoint.body({"client_id": "another"})),
    ]
    assert len({answer.get_data() for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {401}


def _reason(answer: TestResponse) -> str:
    return str(cast("dict[str, Any]", answer.json)["reason"])


def test_one_source_cannot_exhaust_the_key_services_quota(endpoint: AdminProof) -> None:
    def ask(address: str, path: str = "/challenge") -> TestResponse:
        return endpoint.client.post(path, environ_base={"REMOTE_ADDR": address})

    assert {ask("203.0.113.9").status_code for _ in range(60)} == {200}
    refused = ask("203.0.113.9")
    assert (refused.status_code, cast("Any", refused.json)["error"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    assert ask("203.0.113.9", "/proof").status_code == 429
    assert ask("203.0.113.10").status_code == 200
    assert {endpoint.post("/challenge").status_code for _ in range(70)} == {200}  # one's own machine
