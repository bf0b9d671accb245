"""Public keys of key stores, read from the objects of `cryptography`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.ports.keys import KeyUnavailable
from keyturn.proofs.jwk import ES256, PublicKey, p256_key, rsa_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

LEAST_RSA_BITS: Final = 2048
"""RFC 7518 §3.3."""


def public_key_of(key: PublicKeyTypes, algorithm: str) -> PublicKey:
    """Return a key for ES256 or RS256. `KeyUnavailable` if it is of another kind, or a short RSA key."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415 - nothing heavy at import time

    if algorithm == ES256:
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise KeyUnavailable("the key's algorithm is not EC P-256")
        point = key.public_numbers()
        return p256_key(point.x, point.y)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < LEAST_RSA_BITS:
        raise KeyUnavailable("the key's algorithm is not RSA with 2048 bits or more")
    numbers = key.public_numbers()
    return rsa_key(numbers.n, numbers.e)
