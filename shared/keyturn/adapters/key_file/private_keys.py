"""Private signing keys of a key file, loaded for use: P-256 scalars for ES256, and RSA keys for RS256."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.adapters.key_file.file import RSA_PURPOSE, LocalKey
from keyturn.adapters.signing_keys import LEAST_RSA_BITS, public_key_of
from keyturn.ports.keys import KeyUnavailable
from keyturn.proofs.jwk import COORDINATE_BYTES, ES256, RS256, PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_PUBLIC_EXPONENT: Final = 65537


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A loaded key. `sign` returns the signature of its argument, for ES256 r and s (bytes, 64)."""

    public: PublicKey
    sign: Callable[[bytes], bytes] = field(repr=False)


# Loading a private key takes as long as signing. The cache is safe: the caller checks in the file that it is enabled.
@functools.lru_cache(maxsize=16)
def signing_key(key: LocalKey) -> SigningKey:
    """Return the loaded key. `KeyUnavailable` if it is damaged."""
    if key.purpose == RSA_PURPOSE:
        private_rsa_key = rsa_private_key(key)
        return SigningKey(public_key_of(private_rsa_key.public_key(), RS256), _rsa_sign_function(private_rsa_key))
    private_key = p256_private_key(key)
    return SigningKey(public_key_of(private_key.public_key(), ES256), _p256_sign_function(private_key))


def new_rsa_key() -> bytes:
    """Return a new RSA key (DER, PKCS #8). Its randomness is the operating system's, through OpenSSL."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - nothing heavy at import time
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - the same

    return rsa.generate_private_key(_PUBLIC_EXPONENT, LEAST_RSA_BITS).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def p256_private_key(key: LocalKey) -> EllipticCurvePrivateKey:
    """Return the private key of a P-256 scalar."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - nothing heavy at import time

    return ec.derive_private_key(int.from_bytes(key.secret, "big"), ec.SECP256R1())


def rsa_private_key(key: LocalKey) -> RSAPrivateKey:
    """Return an RSA key. `KeyUnavailable` if it is damaged."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - nothing heavy at import
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415 - the same

    loaded = None
    try:
        loaded = load_der_private_key(key.secret, password=None)
    except (ValueError, TypeError):  # dropped: an error must hold nothing of the key
        loaded = None
    if not isinstance(loaded, RSAPrivateKey):
        raise KeyUnavailable("the key file is damaged")
    return loaded


def _p256_sign_function(private_key: EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415 - nothing heavy at import time
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - the same

    algorithm = ec.ECDSA(SHA256())

    def sign(data: bytes) -> bytes:
        r, s = utils.decode_dss_signature(private_key.sign(data, algorithm))
        return r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")

    return sign


def _rsa_sign_function(private_key: RSAPrivateKey) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - nothing heavy at import
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - the same

    return lambda data: private_key.sign(data, PKCS1v15(), SHA256())
