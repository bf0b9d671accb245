"""What the factors are about: a proof, one challenge and one request; a registration, an invite (protocol.md §7)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from keyturn.domain.encodings import base64url_encode, length_prefixed

_STATEMENT = "keyturn/proof/v1"
_REGISTRATION = "keyturn/registration/v1"
_JTI = "keyturn/jti/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The service (its configured base URL), the challenge, and whose request, in which group, to which client."""

    service: str
    challenge: str
    npub: str
    group: str
    client_id: str
    digest: str

    def to_bytes(self) -> bytes:
        """Return what a device signs or hashes: LP("keyturn/proof/v1", service, challenge, npub, group, …)."""
        about = (self.npub, self.group, self.client_id, self.digest)
        return length_prefixed(_STATEMENT, self.service, self.challenge, *about)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationStatement:
    """What a device's registration is about: service, challenge, the device's npub, and the invite's id (hex)."""

    service: str
    challenge: str
    npub: str
    invite: str

    def to_bytes(self) -> bytes:
        """Return what a device signs or hashes: LP("keyturn/registration/v1", service, challenge, npub, invite)."""
        return length_prefixed(_REGISTRATION, self.service, self.challenge, self.npub, self.invite)


def jti_of(nonce: str) -> str:
    """Return the id of the only proof that a challenge's nonce can become (43 characters).

    Whoever uses up the id has used up the nonce: one document says so, in whichever process and database.
    """
    return base64url_encode(hashlib.sha256(length_prefixed(_JTI, nonce)).digest())
