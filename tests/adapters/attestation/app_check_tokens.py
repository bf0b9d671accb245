"""App Check tokens as Firebase issues them, signed by a key of the tests."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from keyturn.adapters.attestation.app_check import ISSUER, AppCheckAttestation
from keyturn.adapters.authorisation.jwks import TrustedKeys
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import DeviceKey

from tests.adapters.attestation.authorities import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping


PROJECT, APP = "1234567890", "1:1234567890:ios:abcdef"
KEY, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
DEVICE = DeviceKey("app_check", APP, b"")


def jwks() -> bytes:
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    return json.dumps({"keys": [{**key, "kid": "one", "alg": "RS256", "use": "sig"}]}).encode()


KIND = AppCheckAttestation(TrustedKeys(jwks, lambda: 0.0, pause_seconds=0), PROJECT, frozenset({APP}))


def claims(**changes: object) -> Mapping[str, Any]:
    seconds = int(NOW.timestamp())
    honest = {
        "iss": f"{ISSUER}{PROJECT}",
        "aud": [f"projects/{PROJECT}", "projects/the-id"],
        "sub": APP,
        "iat": seconds,
        "exp": seconds + 3600,
    }
    return {**honest, **changes}


def token(key: rsa.RSAPrivateKey = KEY, kid: str = "one", typ: str = "JWT", **changes: object) -> str:
    return jwt.encode(dict(claims(**changes)), key, "RS256", {"kid": kid, "typ": typ})


def by_hmac() -> str:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, body = (
        base64url_encode(json.dumps(part).encode())
        for part in ({"alg": "HS256", "kid": "one", "typ": "JWT"}, dict(claims()))
    )
    tag = hmac.digest(pem, f"{header}.{body}".encode(), hashlib.sha256)
    return f"{header}.{body}.{base64url_encode(tag)}"
