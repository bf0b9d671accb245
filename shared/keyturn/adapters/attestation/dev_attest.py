"""Device attestation for development: a software key attests itself. Its name says so, and production refuses it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from keyturn.adapters.attestation.evidence import octets
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused, DeviceKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NAME = "dev_attest"
_KEY_BYTES = 32


class DevAttestation:
    """Implements `Attestation` with Ed25519.

    The evidence of a registration is `public_key` (bytes, 32) and `signature` over the statement, that of a check is
    `signature`. All are base64url. The device's id is base64url of the key's SHA-256.
    """

    kind = NAME
    amr = NAME

    def register(self, evidence: Mapping[str, object], statement: bytes, now: datetime) -> DeviceKey:  # noqa: ARG002 - the port's form
        """Return the device whose key signed the statement."""
        public_key = octets(evidence, "public_key")
        _verify(public_key, octets(evidence, "signature"), statement)
        return DeviceKey(NAME, base64url_encode(hashlib.sha256(public_key).digest()), public_key)

    def check(self, evidence: Mapping[str, object], statement: bytes, device: DeviceKey, now: datetime) -> int:  # noqa: ARG002 - the port's form
        """Return 0 (there is no counter) if the device's key signed the statement."""
        _verify(device.public_key, octets(evidence, "signature"), statement)
        return 0


def _verify(public_key: bytes, signature: bytes, statement: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - nothing heavy at import time
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - the same

    if len(public_key) != _KEY_BYTES:
        raise AttestationRefused("bad_public_key")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except InvalidSignature:
        raise AttestationRefused("bad_signature") from None
