"""Statements that an admin's device signs: for the proof of a request, or its registration (docs/protocol.md §7)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from keyturn.domain.encodings import base64url_encode, length_prefixed

# Different labels: a signature for one purpose is never valid for another.
_STATEMENT = "keyturn/proof/v1"
_REGISTRATION = "keyturn/registration/v1"
_JTI = "keyturn/jti/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The statement of a proof: the service's configured base URL, the challenge, and the request that it is for."""

    service: str
    challenge: str
    npub: str
    group: str
    client_id: str
    digest: str

    def to_bytes(self) -> bytes:
        """Return the bytes to sign or hash: LP("keyturn/proof/v1", service, challenge, npub, group, …)."""
        about = (self.npub, self.group, self.client_id, self.digest)
        return length_prefixed(_STATEMENT, self.service, self.challenge, *about)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationStatement:
    """The statement of a registration: service, challenge, the device's npub, and the invite's id (hex)."""

    service: str
    challenge: str
    npub: str
    invite: str

    def to_bytes(self) -> bytes:
        """Return the bytes to sign or hash: LP("keyturn/registration/v1", service, challenge, npub, invite)."""
        return length_prefixed(_REGISTRATION, self.service, self.challenge, self.npub, self.invite)


def jti_of(nonce: str) -> str:
    """Return the id of the only proof that a challenge's nonce can become (43 characters).

    Using up the id uses up the nonce, so one document prevents a second use in every process and database.
    """
    return base64url_encode(hashlib.sha256(length_prefixed(_JTI, nonce)).digest())
