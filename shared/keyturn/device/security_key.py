"""Security keys (WebAuthn), as the device sees them: the port that reaches them, and one credential of a key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NoReturn, Protocol

from keyturn.device.api import response_fields
from keyturn.device.core.errors import SecurityKeyError


class SecurityKeys(Protocol):
    """The security keys that are plugged in (WebAuthn §5). Each method may raise `SecurityKeyError`."""

    def create(self, origin: str, name: str, challenge: bytes) -> dict[str, object]:
        """Create a credential for the service at `origin`, and return its RegistrationResponseJSON."""
        ...

    def get(self, origin: str, credential: str, challenge: bytes) -> dict[str, object]:
        """Have a credential (its id, base64url) sign a challenge, and return the AuthenticationResponseJSON."""
        ...


class _NoSecurityKeys:
    """Implements `SecurityKeys` for a program that has no access to any."""

    def create(self, origin: str, name: str, challenge: bytes) -> NoReturn:  # noqa: ARG002 - the protocol's parameters
        """Refuse."""
        raise SecurityKeyError("This program has no access to security keys.", "Use the command line.")

    def get(self, origin: str, credential: str, challenge: bytes) -> NoReturn:
        """Refuse."""
        self.create(origin, credential, challenge)


NO_SECURITY_KEYS = _NoSecurityKeys()


@dataclass(frozen=True, slots=True)
class SecurityKeyCredential:
    """One credential of a security key, "" before it is created. The challenge is the SHA-256 of the statement."""

    keys: SecurityKeys
    origin: str
    name: str
    credential: str = ""

    def registration(self, statement: bytes) -> dict[str, object]:
        """Return the evidence of a new credential, attested by the key's manufacturer."""
        return self._evidence(self.keys.create(self.origin, self.name, hashlib.sha256(statement).digest()))

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return the evidence that the registered credential was used by a person that the key has verified."""
        return self._evidence(self.keys.get(self.origin, self.credential, hashlib.sha256(statement).digest()))

    def _evidence(self, credential: dict[str, object]) -> dict[str, object]:
        return {"kind": "webauthn", "device_id": response_fields.text(credential, "id"), "credential": credential}
