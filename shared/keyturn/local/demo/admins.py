"""The demo's admins, each with a device and an authenticator app, and a recorder that collects proofs for a thief."""

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
class RecordingTransport:
    """Sends calls and records the proofs in the responses, as a thief on the wire would."""

    proofs: list[str] = field(default_factory=list, repr=False)
    _transport: HttpTransport = field(default_factory=HttpTransport)

    def send(self, call: HttpRequest) -> HttpResponse:
        """Return the response and record the proof in it, if any."""
        answer = self._transport.send(call)
        if call.url.endswith("/admin_proof/proof"):
            proof = json.loads(answer.body).get("jwt_proof")
            self.proofs += [proof] if proof else []
        return answer


@dataclass
class DemoAdmin:
    """An admin of the demo. `wait(seconds)` is called when the admin must wait for the authenticator's next code."""

    user: str
    home: Home = field(repr=False)
    url: str
    wait: Callable[[float], None]
    recorder: RecordingTransport = field(default_factory=RecordingTransport)
    authenticator: Authenticator = field(init=False, repr=False)
    device: Device = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.device = Device.open(self.home, self.url, transport=self.recorder, ask_code=self.code)

    def code(self) -> str:
        """Return a code of the authenticator."""
        return self.authenticator()

    def sign_in(self, id_token: str) -> None:
        """Store an ID token in the device's home folder."""
        read_id_token(id_token).save(self.home)

    def join(self, code: str) -> None:
        """Register device and authenticator with an invite's code, and join the group."""
        registration = self.device.register(code)
        if registration is not None and registration.otpauth is not None:
            self.authenticator = Authenticator(registration.otpauth, self.wait)
        if registration is not None:
            self.device.confirm(code, self.code())
        self.device.join(code)

    def send_with_proof(self, request: RotationRequest, proof: str) -> dict[str, object]:
        """Sign a request again and send it with any proof. The server should raise `ServerRefusedError`."""
        signer = EventSigner(self.home.private_key(), utc_now, os.urandom)
        return ApiClient(self.url).post_event(rotation_event(signer, request, proof))


def create_admin(folder: Path, user: str, passphrase: str, url: str, wait: Callable[[float], None]) -> DemoAdmin:
    """Return an admin with a new device in `folder`."""
    return DemoAdmin(user, Home.create(folder, user, passphrase), url, wait)
