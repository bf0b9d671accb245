"""What vouches for this device: the software key of its home, or a security key that is plugged in (protocol.md §7).

join                    the software key is registered (`dev_attest`)
join --security-key     a new credential of the security key is (`webauthn`); from its confirmation on, it vouches
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Protocol

from keyturn.device.api import response_fields as answers
from keyturn.device.attestation.software_key import ATTESTATION, software_key
from keyturn.device.core.errors import SecurityKeyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.device.home.home import Home
    from keyturn.device.home.state import Key

WEBAUTHN: Key = (ATTESTATION, "webauthn")
"""The home's record of its security key: the credential's id, base64url."""


class Voucher(Protocol):
    """Vouches for a device; evidence is as docs/http.md has it."""

    def registration(self, statement: bytes) -> dict[str, object]:
        """Return evidence that registers the device."""
        ...

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return evidence that the registered device stands behind a statement."""
        ...


class SecurityKeys(Protocol):
    """The security keys that are plugged in (WebAuthn §5); each method may raise `SecurityKeyError`."""

    def create(self, origin: str, name: str, challenge: bytes) -> dict[str, object]:
        """Make a credential for the service at `origin`, and return its RegistrationResponseJSON."""
        ...

    def get(self, origin: str, credential: str, challenge: bytes) -> dict[str, object]:
        """Have a credential (its id, base64url) assert a challenge, and return the AuthenticationResponseJSON."""
        ...


class _NoKeys:
    """Implements `SecurityKeys` for a device that was opened without a way to any."""

    def create(self, origin: str, name: str, challenge: bytes) -> NoReturn:  # noqa: ARG002 - the port's form
        """Refuse."""
        raise SecurityKeyError("This program has no way to a security key.", "Use the command line.")

    def get(self, origin: str, credential: str, challenge: bytes) -> NoReturn:
        """Refuse."""
        self.create(origin, credential, challenge)


NO_KEYS = _NoKeys()


@dataclass(frozen=True, slots=True)
class SecurityKey:
    """One credential of a security key; "" before it was made. The challenge is the statement's SHA-256."""

    keys: SecurityKeys
    origin: str
    name: str
    credential: str = ""

    def registration(self, statement: bytes) -> dict[str, object]:
        """Return evidence that a new credential's maker vouches for."""
        return self._evidence(self.keys.create(self.origin, self.name, hashlib.sha256(statement).digest()))

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return evidence that the registered credential was used, by somebody whom the key has verified."""
        return self._evidence(self.keys.get(self.origin, self.credential, hashlib.sha256(statement).digest()))

    def _evidence(self, credential: dict[str, object]) -> dict[str, object]:
        return {"kind": "webauthn", "device_id": answers.text(credential, "id"), "credential": credential}


@dataclass(frozen=True, slots=True)
class Vouching:
    """Finds what vouches for the device of a home, in front of the service at `origin` (a base URL)."""

    home: Home
    random: Callable[[int], bytes] = field(repr=False)
    origin: str
    keys: SecurityKeys

    def registered(self) -> Voucher:
        """Return what was registered: the security key if it was one, else the software key."""
        kept = self.home.load(*WEBAUTHN)
        if kept is None:
            return software_key(self.home, self.random)
        return SecurityKey(self.keys, self.origin, self.home.npub, kept.decode("ascii"))

    def registers(self, statement: bytes, *, security_key: bool) -> dict[str, object]:
        """Return evidence that registers the device, or says that it is registered, where it has a security key."""
        if security_key:
            return SecurityKey(self.keys, self.origin, self.home.npub).registration(statement)
        if self.home.load(*WEBAUTHN) is not None:
            return self.registered().assertion(statement)
        return software_key(self.home, self.random).registration(statement)
