"""The certificates behind an App Attest key: the chain to the configured root, and the nonce in the leaf.

Apple, "Validating apps that connect to your server", steps 1 to 5 of verifying the attestation.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from keyturn.ports.attestation import AttestationRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate

NONCE_EXTENSION = "1.2.840.113635.100.8.2"
_NONCE_PREFIX = bytes.fromhex("3024a1220420")
"""DER of SEQUENCE { [1] { OCTET STRING of 32 bytes } } without the 32 bytes. DER has no other encoding of it."""
_LONGEST_CHAIN = 4


def trusted_leaf(x5c: Sequence[bytes], root: Certificate, now: datetime) -> Certificate:
    """Return the first certificate (DER) if the others form a chain to `root` that is valid at `now`."""
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - nothing heavy at import time
    from cryptography.x509.verification import (  # noqa: PLC0415 - the same
        ExtensionPolicy,
        PolicyBuilder,
        Store,
        VerificationError,
    )

    if not 1 <= len(x5c) <= _LONGEST_CHAIN:
        raise AttestationRefused("wrong_chain")
    # Apple's CAs follow the web PKI profile. The leaf does not: it has Apple's own extensions and no server name.
    policies = {"ca_policy": ExtensionPolicy.webpki_defaults_ca(), "ee_policy": ExtensionPolicy.permit_all()}
    builder = PolicyBuilder().store(Store([root])).time(now).extension_policies(**policies)
    try:
        leaf, *others = map(load_der_x509_certificate, x5c)
        return builder.build_client_verifier().verify(leaf, others).chain[0]
    except (ValueError, VerificationError):
        raise AttestationRefused("wrong_chain") from None


def require_nonce(leaf: Certificate, nonce: bytes) -> None:
    """Refuse a leaf unless its nonce extension holds exactly `nonce` (bytes, 32)."""
    from cryptography.x509 import ExtensionNotFound, ObjectIdentifier, UnrecognizedExtension  # noqa: PLC0415 - heavy

    try:
        value = leaf.extensions.get_extension_for_oid(ObjectIdentifier(NONCE_EXTENSION)).value
    except (ExtensionNotFound, ValueError):
        raise AttestationRefused("wrong_nonce") from None
    content = value.value if isinstance(value, UnrecognizedExtension) else b""
    if not hmac.compare_digest(content, _NONCE_PREFIX + nonce):
        raise AttestationRefused("wrong_nonce")


def public_point(leaf: Certificate) -> bytes:
    """Return the leaf's P-256 key as an uncompressed point (65 bytes)."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - the same

    key = leaf.public_key()
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise AttestationRefused("bad_public_key")
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def key_of(point: bytes) -> EllipticCurvePublicKey:
    """Return the P-256 key of an uncompressed point (65 bytes). `AttestationRefused` for other bytes."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey  # noqa: PLC0415 - heavy

    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        raise AttestationRefused("bad_public_key") from None
