"""Public keys as JWKs (RFC 7517): P-256 for ES256, and RSA for RS256 (RFC 7518 §3.1).

A key's id is its thumbprint (RFC 7638). So an id names one key for ever: a key that replaces another one, for example
after a leak, has another id, and none that trusts the old id trusts the new key or the other way round.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Final

from keyturn.domain.encodings import base64url_encode

ES256: Final = "ES256"
RS256: Final = "RS256"
ALGORITHMS: Final = (ES256, RS256)
"""The algorithms of access tokens. RFC 9068 §2.1 asks every party to support RS256."""
COORDINATE_BYTES: Final = 32


@dataclass(frozen=True)
class PublicKey:
    """One key that verifies tokens: its algorithm, and the parameters of its JWK that define it (RFC 7638 §3.2)."""

    algorithm: str
    parameters: tuple[tuple[str, str], ...] = field(repr=False)

    @functools.cached_property
    def kid(self) -> str:
        """The key's id: base64url of the SHA-256 of its parameters (RFC 7638 §3)."""
        text = json.dumps(dict(self.parameters), sort_keys=True, separators=(",", ":"))
        return base64url_encode(hashlib.sha256(text.encode("ascii")).digest())

    def jwk(self) -> dict[str, str]:
        """Return the public JWK."""
        return {**dict(self.parameters), "alg": self.algorithm, "use": "sig", "kid": self.kid}


def p256_key(x: int, y: int) -> PublicKey:
    """Return the key of a point on P-256 (RFC 7518 §6.2)."""
    encoded = [base64url_encode(part.to_bytes(COORDINATE_BYTES, "big")) for part in (x, y)]
    return PublicKey(ES256, (("kty", "EC"), ("crv", "P-256"), ("x", encoded[0]), ("y", encoded[1])))


def rsa_key(modulus: int, exponent: int) -> PublicKey:
    """Return the key of an RSA modulus and exponent (RFC 7518 §6.3)."""
    encoded = [base64url_encode(part.to_bytes((part.bit_length() + 7) // 8, "big")) for part in (modulus, exponent)]
    return PublicKey(RS256, (("kty", "RSA"), ("n", encoded[0]), ("e", encoded[1])))
