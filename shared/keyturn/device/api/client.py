"""The suite's doors as this device uses them (docs/http.md): each call with the proof that its door asks for.

Reads, and commands that are signed events, may be sent twice: the same event gets the same answer. So they are, when
the network or the server fails; nothing else is.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Literal

from keyturn.device.api.error_hints import fields_of, is_refused_verdict
from keyturn.device.api.transport import Call, UrlTransport, checked_address
from keyturn.device.core.errors import ServerRefusedError, UnreachableError
from keyturn.domain.encodings import identifier, rotation_identifier
from keyturn.proofs.nip98 import sign_authorization, signed_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.device.api.transport import Answer, Transport
    from keyturn.device.core.signed_events import Signer
    from keyturn.proofs.nostr import Event

_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5
_SERVER_FAULT = 500
_REFUSED = 401


class Server:
    """The doors behind one base URL; every method may raise `ServerRefusedError` or `UnreachableError`."""

    def __init__(
        self, url: str, transport: Transport | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.url = checked_address(url)
        self._transport = transport or UrlTransport()
        self._sleep = sleep

    def post_event(self, event: Event) -> dict[str, object]:
        """Send a command or an envelope to `rotate_request` and return its answer."""
        return self.post_envelope(event.to_json())

    def post_envelope(self, envelope: str) -> dict[str, object]:
        """Send the very bytes of an event that was stored before."""
        body = envelope.encode("utf-8")
        return self._persistently(lambda: self._call("POST", "/rotate_request/", {}, body))

    def status(self, signer: Signer, path: str) -> dict[str, object]:
        """Read `path` (with its query) at the door `status`, proving the device's key (NIP-98)."""
        path = "/status" + path
        return self._persistently(lambda: self._call("GET", path, self._possession(signer, "GET", path), None))

    def rotation(self, signer: Signer, rotation_id: str) -> dict[str, object]:
        """Return a rotation; `InvalidRequest` if that is no rotation id."""
        return self.status(signer, f"/rotations/{rotation_identifier(rotation_id)}")

    def client(self, signer: Signer, client_id: str) -> dict[str, object]:
        """Return a client; `InvalidRequest` if that is no id."""
        return self.status(signer, f"/clients/{identifier(client_id)}")

    def cutover(self, signer: Signer, client_id: str) -> dict[str, object]:
        """Return how far a client has moved to its new secret."""
        return self.status(signer, f"/clients/{identifier(client_id)}/cutover")

    def group(self, signer: Signer, group_id: str) -> dict[str, object]:
        """Return a group's members and epoch."""
        return self.status(signer, f"/groups/{identifier(group_id)}")

    def messages(self, signer: Signer, group_id: str, after: int) -> dict[str, object]:
        """Return a page of a group's log, from the index after `after` on."""
        return self.status(signer, f"/groups/{identifier(group_id)}/messages?after={after}")

    def enrol(self, code: str, event: Event) -> dict[str, object]:
        """Show an invite's code and a key package; the same two get the same answer."""
        return self._enrol({"code": code, "event": event.to_dict()})

    def enrol_again(self, group_id: str, event: Event) -> dict[str, object]:
        """Show a key package to a group that knows this device; the same one gets the same answer."""
        return self._enrol({"group": identifier(group_id), "event": event.to_dict()})

    def challenge(self) -> dict[str, object]:
        """Return a challenge of `admin_proof`, and whether commands need a proof at all."""
        return self._persistently(lambda: self._call("POST", "/admin_proof/challenge", {}, b""))

    def prove(self, signer: Signer, fields: Mapping[str, object]) -> dict[str, object]:
        """Show the evidence for one request to `admin_proof`, once: it uses up a code."""
        return self._signed(signer, "/admin_proof/proof", fields)

    def register(self, signer: Signer, fields: Mapping[str, object]) -> dict[str, object]:
        """Show an invite's code and the evidence that registers this device."""
        return self._signed(signer, "/enrol/registration", fields)

    def confirm_registration(self, signer: Signer, code: str, totp: str) -> dict[str, object]:
        """Show the authenticator's first code; the same again gets the same answer."""
        fields = {"code": code, "totp": totp}
        return self._persistently(lambda: self._signed(signer, "/enrol/registration/confirm", fields))

    def approve(self, event: Event) -> dict[str, object]:
        """Approve an invite; the same person's approval counts once."""
        body = json.dumps({"event": event.to_dict()}).encode("utf-8")
        return self._persistently(lambda: self._call("POST", "/enrol/approvals", {}, body))

    def operator(
        self, method: Literal["GET", "POST"], path: str, token: str, fields: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """Do what precedes admins."""
        body = None if fields is None else json.dumps(fields).encode("utf-8")
        return self._call(method, "/operator" + path, {"Authorization": f"Bearer {token}"}, body)

    def sweep(self, token: str) -> dict[str, object]:
        """Have one sweep done now."""
        return self._call("POST", "/grace_sweeper/", {"Authorization": f"Bearer {token}"}, b"{}")

    def check(self, client_id: str, secret: str) -> dict[str, object]:
        """Return the verdict on a credential: `accepted` and, when it is, the version and its window."""
        headers = {"X-Client-Id": identifier(client_id), "X-API-Key": secret}
        answer = self._send("POST", "/client_token/check", headers, b"")
        if answer.status == _REFUSED and is_refused_verdict(answer):
            return {"accepted": False, "reason": "refused"}
        fields = fields_of(answer)
        if fields.get("accepted") is not True:
            raise UnreachableError("The answer is no verdict.", "Check --url.")
        return fields

    def _enrol(self, fields: Mapping[str, object]) -> dict[str, object]:
        body = json.dumps(fields).encode("utf-8")
        return self._persistently(lambda: self._call("POST", "/enrol/", {}, body))

    def _signed(self, signer: Signer, path: str, fields: Mapping[str, object]) -> dict[str, object]:
        body = json.dumps(fields).encode("utf-8")
        return self._call("POST", path, self._possession(signer, "POST", path, body), body)

    def _possession(self, signer: Signer, method: str, path: str, body: bytes | None = None) -> dict[str, str]:
        header = sign_authorization(
            signer.private_key,
            url=signed_url(self.url, path),
            method=method,
            body=body,
            now=signer.now(),
            random=signer.random,
        )
        return {"Authorization": header}

    def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, object]:
        return fields_of(self._send(method, path, headers, body))

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        content = {} if body is None else {"Content-Type": "application/json"}
        every = {"Accept": "application/json", **content, **headers}
        return self._transport.send(Call(method, self.url + path, every, body))

    def _persistently(self, attempt: Callable[[], dict[str, object]]) -> dict[str, object]:
        for round_number in range(1, _ATTEMPTS):
            try:
                return attempt()
            except UnreachableError:
                self._sleep(_PAUSE_SECONDS * round_number)
            except ServerRefusedError as refused:
                if refused.status < _SERVER_FAULT:
                    raise
                self._sleep(_PAUSE_SECONDS * round_number)
        return attempt()
