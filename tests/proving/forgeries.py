"""Forged tokens."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey
from keyturn.proofs.jws import compact
from keyturn.use_cases.admin_proof.proof_token import TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.proving.stage import Stage


def part(value: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def header_of(token: str) -> dict[str, Any]:
    return dict(jwt.get_unverified_header(token))


def signed(stage: Stage, claims: Mapping[str, object], typ: str = TYPE) -> str:
    """Return a token that the service's own key signed: only its claims or its type are wrong."""
    kid = stage.keys.signer.current()
    return compact(claims, kid=kid, typ=typ, sign=lambda data: stage.keys.signer.sign(kid, data))


def with_claims(**changes: object) -> Callable[[Stage, str], str]:
    """Return what re-signs a proof with other claims; None takes one out."""

    def forge(stage: Stage, proof: str) -> str:
        claims = {**claims_of(proof), **changes}
        return signed(stage, {name: value for name, value in claims.items() if value is not None})

    return forge


def with_header(**changes: object) -> Callable[[Stage, str], str]:
    """Return what changes a proof's header and leaves its signature."""

    def forge(_stage: Stage, proof: str) -> str:
        _, body, signature = proof.split(".")
        return f"{part({**header_of(proof), **changes})}.{body}.{signature}"

    return forge


def unsigned(_stage: Stage, token: str) -> str:
    header = {**header_of(token), "alg": "none"}
    return f"{part(header)}.{token.split('.')[1]}."


def public_pem(stage: Stage) -> bytes:
    key = ECKey.import_key({**stage.keys.signer.public_keys()[0].jwk()}).public_key
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def by_hmac_of_the_public_key(stage: Stage, token: str) -> str:
    """Return the token signed with HS256 under the text of the service's public key."""
    import hashlib
    import hmac

    header = part({**header_of(token), "alg": "HS256"})
    signing = f"{header}.{token.split('.')[1]}"
    tag = hmac.digest(public_pem(stage), signing.encode(), hashlib.sha256)
    return f"{signing}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"


def by_another_key(_stage: Stage, token: str) -> str:
    """Return the token signed by an attacker's key, under the service's key id."""
    return jwt.encode(claims_of(token), ec.generate_private_key(ec.SECP256R1()), "ES256", header_of(token))


def with_its_own_key(_stage: Stage, token: str) -> str:
    """Return the token signed by an attacker's key, which the header carries along."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return jwt.encode(claims_of(token), key, "ES256", {**header_of(token), "jwk": jwk})


def said_twice(stage: Stage, token: str) -> str:
    """Return a token of ours in which a claim stands twice."""
    header, _, _ = token.split(".")
    text = json.dumps(claims_of(token))[:-1] + ',"npub":"' + "ab" * 32 + '"}'
    signing = f"{header}.{base64.urlsafe_b64encode(text.encode()).rstrip(b'=').decode()}"
    signature = stage.keys.signer.sign(stage.keys.signer.current(), signing.encode())
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
