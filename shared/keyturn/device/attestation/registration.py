"""Registration of this device with an invite's code, before it joins: user, device and authenticator app.

    challenge ─▶ required? ─▶ ID token, device's evidence ─▶ otpauth URI ─▶ first code ─▶ confirmed, saved ─▶ join

The seed of the authenticator app is shown once, and the device does not keep it. An interrupted registration starts
again until it is confirmed. Afterwards the home knows that only joining is left.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.attestation.authenticator import WEBAUTHN, DeviceAuthenticator
from keyturn.device.attestation.id_token import require_sign_in
from keyturn.device.core.errors import ServerRefusedError
from keyturn.proofs.statement import RegistrationStatement

if TYPE_CHECKING:
    from keyturn.device.context import DeviceContext
    from keyturn.device.home.sealed_files import RecordKey

_CONFIRMED = "registration"
_ALREADY_REGISTERED = "already_registered"
_UNCONFIRMED_CREDENTIAL = "offered_credential"


@dataclass(frozen=True, slots=True)
class RegistrationResult:
    """The service's answer to a registration: user, purpose, and the seed for the authenticator app.

    `otpauth` is the URI that carries the seed; None if the user's existing authenticator stays valid.
    """

    user: str
    purpose: str
    otpauth: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceRegistration:
    """Registers a device at its service."""

    context: DeviceContext

    def begin(self, code: str, *, security_key: bool = False) -> RegistrationResult | None:
        """Present user and device to the service; None if it requires no registration, or this one is complete.

        With `security_key` a credential of the security key becomes the device's authenticator, once it is confirmed.
        `NotSignedInError`, `SecurityKeyError` or `ServerRefusedError`.
        """
        home, api = self.context.home, self.context.api
        if home.load(_CONFIRMED, _invite_id(code)) is not None:
            return None
        challenge = api.challenge()
        if challenge.get("required") is False:
            return None
        evidence = self._evidence(code, response_fields.text(challenge, "challenge"), security_key=security_key)
        try:
            answer = api.register(self.context.signer, evidence)
        except ServerRefusedError as error:
            if error.reason != _ALREADY_REGISTERED:
                raise
            # A known device joins another group, or the answer to its confirmation was lost.
            return None
        self._save_credential(code, evidence if security_key else None)
        return RegistrationResult(
            user=response_fields.text(answer, "user"),
            purpose=response_fields.text(answer, "purpose"),
            otpauth=response_fields.optional_text(answer, "totp"),
        )

    def confirm(self, code: str, totp: str) -> dict[str, object]:
        """Prove with a one-time code that the authenticator has the seed, and complete the registration."""
        home, invite_id = self.context.home, _invite_id(code)
        answer = self.context.api.confirm_registration(self.context.signer, code, totp)
        credential = home.load(_UNCONFIRMED_CREDENTIAL, invite_id)
        changes: dict[RecordKey, bytes | None] = {
            (_CONFIRMED, invite_id): b"confirmed",
            (_UNCONFIRMED_CREDENTIAL, invite_id): None,
        }
        home.save_all(changes if credential is None else {**changes, WEBAUTHN: credential})
        return answer

    def forget(self, code: str) -> None:
        """Delete the records of a code after it was used to join."""
        if self.context.home.load(_CONFIRMED, _invite_id(code)) is not None:
            self.context.home.delete(_CONFIRMED, _invite_id(code))

    def _save_credential(self, code: str, evidence: dict[str, object] | None) -> None:
        home, invite_id = self.context.home, _invite_id(code)
        if evidence is not None:
            # Not yet as WEBAUTHN: until the registration is confirmed, the software key stays the authenticator.
            credential = response_fields.text(response_fields.mapping(evidence, "device"), "device_id")
            home.save(_UNCONFIRMED_CREDENTIAL, invite_id, credential.encode("ascii"))
        elif home.load(_UNCONFIRMED_CREDENTIAL, invite_id) is not None:
            home.delete(_UNCONFIRMED_CREDENTIAL, invite_id)

    def _evidence(self, code: str, challenge: str, *, security_key: bool) -> dict[str, object]:
        context = self.context
        sign_in = require_sign_in(context.home, context.signer.now())
        statement = RegistrationStatement(
            service=context.api.url,
            challenge=challenge,
            npub=context.signer.public_key,
            invite=_invite_id(code),
        )
        device = DeviceAuthenticator(context).registration(statement.to_bytes(), security_key=security_key)
        return {"code": code, "challenge": challenge, "id_token": sign_in.id_token, "device": device}


def _invite_id(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8")).hexdigest()  # the home does not contain the code itself
