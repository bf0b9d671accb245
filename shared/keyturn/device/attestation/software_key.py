"""The software key of a device (`dev_attest`), for development and trials.

It stands in for a phone's hardware (App Attest) or a security key (WebAuthn). It proves that the same home made two
statements. It does not prove that the home can't be copied, so production settings refuse it by its name.
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
"""The kind of the home's records of authenticators."""
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """An Ed25519 key (`bytes, 32`) in the sealed home."""

    private_key: bytes = field(repr=False)

    @property
    def device_id(self) -> str:
        """The service's id for this device: base64url of the public key's SHA-256."""
        return base64url_encode(hashlib.sha256(self._public_key).digest())

    def registration(self, statement: bytes) -> dict[str, object]:
        """Return the evidence that registers this device (docs/http.md, `enrol`). It may be repeated."""
        return {**self.assertion(statement), "public_key": base64url_encode(self._public_key)}

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return the evidence that this registered device makes a statement (docs/http.md, `admin_proof`)."""
        return {"kind": KIND, "device_id": self.device_id, "signature": self._signature(statement)}

    @property
    def _public_key(self) -> bytes:
        return self._key().public_key().public_bytes_raw()

    def _signature(self, statement: bytes) -> str:
        return base64url_encode(self._key().sign(statement))

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private_key)


def software_key(home: Home, random: Callable[[int], bytes]) -> SoftwareKey:
    """Return the home's software key, which is created if the home has none."""
    # Locked: of two commands that need the key at once, the second must find the key of the first.
    with home.locked():
        private_key = home.load(ATTESTATION, KIND)
        if private_key is None:
            private_key = random(_KEY_BYTES)
            home.save(ATTESTATION, KIND, private_key)
    return SoftwareKey(private_key)
