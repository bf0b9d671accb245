"""Canaries: an integrator's own instance proves that it holds a new secret before its promotion (docs/protocol.md §8).

The key is that of receipts: it is derived from the secret, and only its public half is stored. The signed text starts
with another label, so a canary can never be used as an acknowledgement, or the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keyturn.domain.encodings import base64url_decode, length_prefixed
from keyturn.domain.errors import InvalidRequest

_LABEL = "nip-kr/canary/v1"


@dataclass(frozen=True, slots=True)
class Canary:
    """The statement that an instance signs. `nonce` comes from the service."""

    rotation_id: str
    client_id: str
    version_id: str
    instance_id: str
    nonce: str

    def signed_bytes(self) -> bytes:
        """Return LP("nip-kr/canary/v1", …). Raises `InvalidRequest` for a field that is not Unicode."""
        return length_prefixed(_LABEL, self.rotation_id, self.client_id, self.version_id, self.instance_id, self.nonce)


def verify_canary(receipt_key: bytes, signature: str, canary: Canary) -> bool:
    """Return whether a signature (base64url of 64 bytes) is of exactly this canary. `receipt_key` is `bytes, 32`."""
    key = Ed25519PublicKey.from_public_bytes(receipt_key)
    try:
        key.verify(base64url_decode(signature), canary.signed_bytes())
    except (InvalidSignature, InvalidRequest):
        return False
    return True
