"""The key by which this device vouches for itself: `dev_attest`, in software, for development and trials.

What a phone has in hardware (App Attest), or a security key (WebAuthn), this is the stand-in for: it proves that the
same home asserts itself, and not that the home can't be copied. Production settings refuse it by its name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keyturn.domain.encodings import base64url_encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.device.home.home import Home

KIND = "dev_attest"
ATTESTATION = "attestation"
"""The kind of the home's records of what vouches for the device."""
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """An Ed25519 key (`bytes, 32`) that lives in the sealed home."""

    private_key: bytes = field(repr=False)

    @property
    def device_id(self) -> str:
        """The device's name at the service: base64url of the public key's SHA-256."""
        return base64url_encode(hashlib.sha256(self._public_key).digest())

    def registration(self, statement: bytes) -> dict[str, object]:
        """Return the evidence that registers this device, or says that it is registered (docs/http.md, `enrol`)."""
        return {**self.assertion(statement), "public_key": base64url_encode(self._public_key)}

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return the evidence that this registered device stands behind a statement (docs/http.md, `admin_proof`)."""
        return {"kind": KIND, "device_id": self.device_id, "signature": self._signature(statement)}

    @property
    def _public_key(self) -> bytes:
        return self._key().public_key().public_bytes_raw()

    def _signature(self, statement: bytes) -> str:
        return base64url_encode(self._key().sign(statement))

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private_key)


def software_key(home: Home, random: Callable[[int], bytes]) -> SoftwareKey:
    """Return the home's device key, made and kept if it has none yet."""
    with home.locked():
        kept = home.load(ATTESTATION, KIND)
        if kept is None:
            kept = random(_KEY_BYTES)
            home.save(ATTESTATION, KIND, kept)
    return SoftwareKey(kept)
