from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from keyturn.proofs.errors import Malformed, Unproven
from keyturn.proofs.jwk import ES256, RS256, p256_key
from keyturn.proofs.jws import MAX_TOKEN, compact, read_unverified, verified_claims

KEY = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
POINT = KEY.public_key().public_numbers()
JWK = {**p256_key(POINT.x, POINT.y).jwk(), "kid": "one"}
CLAIMS = {"sub": "somebody", "iat": 1}


def sign(data: bytes) -> bytes:
    return b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(KEY.sign(data, ec.ECDSA(SHA256()))))


TOKEN = compact(CLAIMS, kid="one", typ="a+jwt", sign=sign)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def with_header(header: object) -> str:
    return ".".join((encoded(header), *TOKEN.split(".")[1:]))


def test_what_was_signed_is_read_by_us_and_by_others() -> None:
    assert verified_claims(TOKEN, JWK, algorithm=ES256, typ="a+jwt") == CLAIMS
    assert jwt.decode(TOKEN, jwt.PyJWK(JWK), algorithms=["ES256"]) == CLAIMS


def test_an_rs256_token_of_others_is_read() -> None:
    token = jwt.encode(dict(CLAIMS), RSA, "RS256", {"kid": "r", "typ": "JWT"})
    jwk = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "r"}
    jwk = {name: str(value) for name, value in jwk.items()}
    assert verified_claims(token, jwk, algorithm=RS256, typ="JWT") == CLAIMS


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "=.=.=",
        with_header({"alg": "ES256", "kid": "one"}),
        with_header({"alg": "ES256", "kid": 1, "typ": "a+jwt"}),
        with_header({"alg": "ES256", "kid": "one", "typ": "a+jwt", "crit": []}),
        with_header([]),
        TOKEN.replace(TOKEN.split(".")[1], encoded([])),
        TOKEN + "A" * MAX_TOKEN,
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(Malformed):
        read_unverified(token)


@pytest.mark.parametrize(
    ("token", "jwk", "algorithm", "typ", "reason"),
    [
        (TOKEN, JWK, RS256, "a+jwt", "wrong_token_type"),
        (TOKEN, JWK, ES256, "b+jwt", "wrong_token_type"),
        (TOKEN, None, ES256, "a+jwt", "unknown_key"),
        (TOKEN, {**JWK, "kid": "two"}, ES256, "a+jwt", "unknown_key"),
        (TOKEN, {"kid": "one", "kty": "oct", "k": "AA"}, ES256, "a+jwt", "bad_signature"),
        (TOKEN, {**JWK, "x": JWK["y"]}, ES256, "a+jwt", "bad_signature"),
        (TOKEN.rpartition(".")[0] + ".AA", JWK, ES256, "a+jwt", "bad_signature"),
        (TOKEN.rpartition(".")[0] + ".", JWK, ES256, "a+jwt", "bad_signature"),
        (TOKEN + "=", JWK, ES256, "a+jwt", "bad_signature"),
        (TOKEN.replace(TOKEN.split(".")[1], encoded({"sub": "else"})), JWK, ES256, "a+jwt", "bad_signature"),
    ],
)
def test_what_does_not_hold_is_unproven(
    token: str, jwk: dict[str, str] | None, algorithm: str, typ: str, reason: str
) -> None:
    with pytest.raises(Unproven) as refusal:
        verified_claims(token, jwk, algorithm=algorithm, typ=typ)
    assert refusal.value.reason == reason


def test_claims_stay_out_of_reprs() -> None:
    assert "somebody" not in repr(read_unverified(TOKEN))
