"""The demo's people: each with a device, an authenticator app, and an ear on the wire for what a thief would hear."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.api.client import ApiClient, HttpTransport
from keyturn.device.attestation.id_token import read_id_token
from keyturn.device.core.signed_events import EventSigner, rotation_event, utc_now
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.local.demo.authenticator import Authenticator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse
    from keyturn.device.core.signed_events import RotationRequest


@dataclass
class Overhearing:
    """Carries calls, and remembers the proofs that were answered: what a thief on the wire would have."""

    proofs: list[str] = field(default_factory=list, repr=False)
    _transport: HttpTransport = field(default_factory=HttpTransport)

    def send(self, call: HttpRequest) -> HttpResponse:
        """Return the answer, and keep the proof that is in it."""
        answer = self._transport.send(call)
        if call.url.endswith("/admin_proof/proof"):
            proof = json.loads(answer.body).get("jwt_proof")
            self.proofs += [proof] if proof else []
        return answer


@dataclass
class Person:
    """An admin of the demo; `wait` is called when they have to wait for their authenticator's next code."""

    user: str
    home: Home = field(repr=False)
    url: str
    wait: Callable[[float], None]
    overheard: Overhearing = field(default_factory=Overhearing)
    authenticator: Authenticator = field(init=False, repr=False)
    device: Device = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.device = Device.open(self.home, self.url, transport=self.overheard, ask_code=self.code)

    def code(self) -> str:
        """Return a code of their authenticator."""
        return self.authenticator()

    def sign_in(self, id_token: str) -> None:
        """Keep an ID token in the device's home."""
        read_id_token(id_token).save(self.home)

    def join(self, code: str) -> None:
        """Register device and authenticator with an invite's code, and join."""
        registered = self.device.register(code)
        if registered is not None and registered.otpauth is not None:
            self.authenticator = Authenticator(registered.otpauth, self.wait)
        if registered is not None:
            self.device.confirm(code, self.code())
        self.device.join(code)

    def ask_with(self, request: RotationRequest, proof: str) -> dict[str, object]:
        """Sign a request anew and send it with a proof from wherever; a `ServerRefusedError` is what it deserves."""
        signer = EventSigner(self.home.private_key(), utc_now, os.urandom)
        return ApiClient(self.url).post_event(rotation_event(signer, request, proof))


def person(folder: Path, user: str, passphrase: str, url: str, wait: Callable[[float], None]) -> Person:
    """Return a person with a new device in `folder`."""
    return Person(user, Home.create(folder, user, passphrase), url, wait)
