"""The authenticator of this device: the software key of its home, or a security key (docs/protocol.md §7).

join                    registers the software key (`dev_attest`)
join --security-key     registers a new credential of the security key (`webauthn`), which is used once it is confirmed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from keyturn.device.attestation.software_key import ATTESTATION, software_key
from keyturn.device.security_key import SecurityKeyCredential

if TYPE_CHECKING:
    from keyturn.device.context import DeviceContext
    from keyturn.device.home.sealed_files import RecordKey

WEBAUTHN: RecordKey = (ATTESTATION, "webauthn")
"""The home's record of its security key: the credential's id, base64url."""


class EvidenceSource(Protocol):
    """Makes the evidence by which the service recognises a device. Its form is described in docs/http.md."""

    def registration(self, statement: bytes) -> dict[str, object]:
        """Return evidence that registers the device."""
        ...

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return evidence that the registered device makes a statement."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceAuthenticator:
    """Selects the authenticator of a device."""

    context: DeviceContext

    def assertion(self, statement: bytes) -> dict[str, object]:
        """Return evidence that the registered device makes a statement."""
        return self._registered().assertion(statement)

    def registration(self, statement: bytes, *, security_key: bool) -> dict[str, object]:
        """Return evidence that registers the device.

        A device with a registered security key asserts itself with that key instead.
        """
        context = self.context
        if security_key:
            return self._security_key("").registration(statement)
        if context.home.load(*WEBAUTHN) is not None:
            return self.assertion(statement)
        return software_key(context.home, context.signer.random).registration(statement)

    def _registered(self) -> EvidenceSource:
        credential = self.context.home.load(*WEBAUTHN)
        if credential is None:
            return software_key(self.context.home, self.context.signer.random)
        return self._security_key(credential.decode("ascii"))

    def _security_key(self, credential: str) -> SecurityKeyCredential:
        context = self.context
        return SecurityKeyCredential(context.security_keys, context.api.url, context.home.npub, credential)
