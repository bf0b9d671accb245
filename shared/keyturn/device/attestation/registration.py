"""Registering this device with an invite's code, before it joins: who, which device, and the authenticator's seed.

    challenge ─▶ wanted? ─▶ ID token, device's evidence ─▶ otpauth URI ─▶ first code ─▶ confirmed, kept ─▶ join

The seed is shown once and kept nowhere here. Cut short before it was confirmed, registering begins again; afterwards
the home knows, and only joining is left.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields as answers
from keyturn.device.attestation.authenticator import WEBAUTHN
from keyturn.device.attestation.id_token import signed_in
from keyturn.device.core.errors import ServerRefusedError
from keyturn.proofs.statement import RegistrationStatement

if TYPE_CHECKING:
    from keyturn.device.api.client import Server
    from keyturn.device.attestation.authenticator import Vouching
    from keyturn.device.core.signed_events import Signer
    from keyturn.device.home.home import Home
    from keyturn.device.home.state import Key

_CONFIRMED = "registration"
_REGISTERED = "already_registered"
_OFFERED = "offered_credential"


@dataclass(frozen=True, slots=True)
class Registered:
    """What the service made of a registration: whom it is for, its purpose, and the seed for their authenticator.

    `otpauth` is the URI that carries the seed; None where the authenticator that the person has goes on.
    """

    user: str
    purpose: str
    otpauth: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """Registers the device of a home at one service."""

    home: Home
    server: Server
    signer: Signer = field(repr=False)
    vouching: Vouching

    def begin(self, code: str, *, security_key: bool = False) -> Registered | None:
        """Show who and which device this is; None where there is nothing to register, or it is registered already.

        With `security_key` a credential of the key that is plugged in vouches for the device, once it is confirmed.
        `NotSignedInError`, `SecurityKeyError`, or what the service refuses with.
        """
        if self.home.load(_CONFIRMED, _name(code)) is not None:
            return None
        asked = self.server.challenge()
        if asked.get("required") is False:
            return None
        evidence = self._evidence(code, answers.text(asked, "challenge"), security_key=security_key)
        try:
            answer = self.server.register(self.signer, evidence)
        except ServerRefusedError as refused:
            if refused.reason != _REGISTERED:
                raise
            return None  # a known device joins a further group; or the answer that confirmed it was lost
        self._note(code, evidence if security_key else None)
        purpose, otpauth = answers.text(answer, "purpose"), answers.optional_text(answer, "totp")
        return Registered(answers.text(answer, "user"), purpose, otpauth)

    def confirm(self, code: str, totp: str) -> dict[str, object]:
        """Show that the authenticator has the seed, and keep that this code's registration is done."""
        answer = self.server.confirm_registration(self.signer, code, totp)
        credential = self.home.load(_OFFERED, _name(code))
        changes: dict[Key, bytes | None] = {(_CONFIRMED, _name(code)): b"confirmed", (_OFFERED, _name(code)): None}
        self.home.save_all(changes if credential is None else {**changes, WEBAUTHN: credential})
        return answer

    def forget(self, code: str) -> None:
        """Let go of what was kept of a code: it has served."""
        if self.home.load(_CONFIRMED, _name(code)) is not None:
            self.home.delete(_CONFIRMED, _name(code))

    def _note(self, code: str, evidence: dict[str, object] | None) -> None:
        if evidence is not None:
            credential = answers.text(answers.mapping(evidence, "device"), "device_id")
            self.home.save(_OFFERED, _name(code), credential.encode("ascii"))
        elif self.home.load(_OFFERED, _name(code)) is not None:
            self.home.delete(_OFFERED, _name(code))

    def _evidence(self, code: str, challenge: str, *, security_key: bool) -> dict[str, object]:
        who = signed_in(self.home, self.signer.now())
        statement = RegistrationStatement(
            service=self.server.url,
            challenge=challenge,
            npub=self.signer.public_key,
            invite=_name(code),
        )
        device = self.vouching.registers(statement.to_bytes(), security_key=security_key)
        return {"code": code, "challenge": challenge, "id_token": who.id_token, "device": device}


def _name(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8")).hexdigest()  # the invite's id; the code itself is not kept
