"""Registration and proofs in memory, as docs/http.md has them: real signatures, statements, codes and digests."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyotp
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.domain.encodings import base64url_decode, base64url_encode, to_milliseconds
from keyturn.ports.attestation import AttestationRefused
from keyturn.proofs.nip98 import check_authorization
from keyturn.proofs.request_digest import request_digest
from keyturn.proofs.statement import RegistrationStatement, Statement
from keyturn.proofs.totp import matching_step, provisioning_uri
from keyturn.use_cases.commands.parse import read_intent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from keyturn.device.api.client import HttpRequest
    from keyturn.ports.attestation import Attestation, DeviceKey
    from keyturn.proofs.nostr import Event

URL = "http://127.0.0.1:8787"


class Problem(Exception):  # noqa: N818 - it is answered as problem details
    """A refusal of the server's."""

    def __init__(self, status: int, error: str, reason: str, detail: str = "No.") -> None:
        super().__init__(reason)
        self.status = status
        self.fields = {"type": "about:blank", "title": "No", "status": status, "error": error, "reason": reason}
        self.fields["detail"] = detail


def refused(reason: str = "proof_refused") -> Problem:
    return Problem(401, "unauthorized_request", reason, "What was presented does not prove it.")


@dataclass
class Known:
    """An admin: devices by npub, the authenticator's seed, the last step that was accepted."""

    devices: dict[str, DeviceKey] = field(default_factory=dict)
    seed: bytes = b""
    last_step: int = -1


@dataclass
class Desk:
    """Registers admins and gives them proofs; with `required` False nobody is asked for any."""

    now: Callable[[], datetime]
    invites: dict[str, tuple[str, str]]
    required: bool = False
    service: str = URL
    kinds: Mapping[str, Attestation] = field(default_factory=lambda: {"dev_attest": DevAttestation()})
    needed: int = 0
    admins: dict[str, Known] = field(default_factory=dict)
    purposes: dict[str, str] = field(default_factory=dict)
    pending: dict[str, tuple[str, DeviceKey, bytes]] = field(default_factory=dict)
    """What was shown for an invite: npub, device and seed."""
    confirmed: set[str] = field(default_factory=set)
    proofs: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    challenges: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    """What came to /proof."""
    next_seed: bytes = field(default_factory=lambda: os.urandom(20))
    """That of the next authenticator: a test knows the first code before it is shown anything."""
    refuse_challenges: int = 0
    ack_proofs: bool = False
    operated: list[list[str]] = field(default_factory=list)

    def answer(self, call: HttpRequest, door: str, path: list[str]) -> dict[str, Any]:
        fields = json.loads(call.body) if call.body else {}
        match [door, *path]:
            case ["admin_proof", "challenge"]:
                self.challenges.append(base64url_encode(os.urandom(24)))
                until = to_milliseconds(self.now()) + 120_000
                return {"challenge": self.challenges[-1], "expires_at": until, "required": self.required}
            case ["admin_proof", "proof"]:
                return self._prove(self._signer(call), fields)
            case ["enrol", "registration"]:
                return self._register(self._signer(call), fields)
            case ["enrol", "registration", "confirm"]:
                return self._confirm(self._signer(call), fields)
            case ["enrol", "approvals"]:
                return self._approve(fields)
        raise Problem(404, "not_found", "no_door")

    def id_token(self, subject: str) -> str:
        claims = {"sub": subject, "exp": int(self.now().timestamp()) + 3600}
        parts = (json.dumps({"alg": "ES256"}).encode(), json.dumps(claims).encode(), b"signed")
        return ".".join(map(base64url_encode, parts))

    def code(self, user: str, *, ahead: int = 0) -> str:
        """Return what the person's authenticator shows, `ahead` steps from now."""
        known = self.admins.get(user)
        return self.code_of(known.seed if known else self.next_seed, ahead=ahead)

    def code_of(self, seed: bytes, *, ahead: int = 0) -> str:
        """Return what an authenticator with this seed shows, `ahead` steps from now."""
        return pyotp.TOTP(base64.b32encode(seed).decode()).at(int(self.now().timestamp()) + 30 * ahead)

    def check(self, event: Event) -> None:
        """Refuse a command without a good proof, where one is asked for."""
        if not self.required or (event.kind == 40902 and not self.ack_proofs):
            return
        intent = read_intent(event)
        self._use(intent.proof, (event.pubkey, intent.group, intent.client_id, intent.digest))

    def operate(self, path: list[str]) -> dict[str, Any]:
        self.operated.append(path)
        if not path:
            listed = [
                {"user": user, "status": "active", "devices": [{"npub": npub, "kind": key.kind}]}
                for user, known in self.admins.items()
                for npub, key in known.devices.items()
            ]
            return {"admins": listed}
        user, act = path
        if act == "resume":
            return {"user": user, "status": "suspended", "awaits_approval": "a" * 64}
        status = {"suspend": "suspended", "remove": "removed"}[act]
        devices = list(self.admins[user].devices)
        return {"user": user, "status": status, "devices": devices, "canceled": [], "received": ["acme"]}

    def _signer(self, call: HttpRequest) -> str:
        header = call.headers["Authorization"]
        return check_authorization(header, url=call.url, method="POST", body=call.body, now=self.now()).pubkey

    def _register(self, npub: str, fields: dict[str, Any]) -> dict[str, Any]:
        code = fields["code"]
        if code not in self.invites:
            raise Problem(403, "unauthorized_request", "bad_invite", "The code is unknown, or its time is over.")
        user, invite = self.invites[code][0], hashlib.sha256(code.encode()).hexdigest()
        self._is(user, fields["id_token"])
        purpose = self.purposes.get(invite, "join")
        if invite in self.confirmed or (purpose == "join" and user in self.admins):
            raise Problem(409, "conflict", "already_registered")
        statement = RegistrationStatement(service=self.service, challenge=self._taken(fields), npub=npub, invite=invite)
        device = self._device(user, npub, purpose, fields["device"], statement.to_bytes())
        seed = self.admins[user].seed if purpose == "device" else self.next_seed
        self.pending[invite] = (npub, device, seed)
        uri = None if purpose == "device" else provisioning_uri(seed, user, "keyturn")
        return {"user": user, "purpose": purpose, "totp": uri}

    def _device(self, user: str, npub: str, purpose: str, evidence: dict[str, Any], about: bytes) -> DeviceKey:
        kind = self.kinds[evidence["kind"]]
        try:
            if purpose != "totp":
                return kind.register(evidence, about, self.now())
            device = self.admins[user].devices[npub]
            kind.check(evidence, about, device, self.now())
        except AttestationRefused:
            raise refused() from None
        return device

    def _confirm(self, npub: str, fields: dict[str, Any]) -> dict[str, Any]:
        invite, user = hashlib.sha256(fields["code"].encode()).hexdigest(), self.invites[fields["code"]][0]
        shown, device, seed = self.pending[invite]
        known = self.admins.get(user, Known())
        step = matching_step(seed, fields["totp"], self.now(), known.last_step if seed == known.seed else -1)
        if shown != npub or (step is None and invite not in self.confirmed):
            raise refused()
        self.confirmed.add(invite)
        self.admins[user] = Known({**known.devices, npub: device}, seed, known.last_step if step is None else step)
        return {"user": user, "status": "active"}

    def _prove(self, npub: str, fields: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(fields)
        challenge = self._taken(fields)
        group, client_id = fields.get("mls_group", ""), fields.get("client_id", "")
        digest, presented = fields["request_digest"], fields["device"]
        user, known = next(
            ((user, known) for user, known in self.admins.items() if npub in known.devices), ("", Known())
        )
        self._is(user, fields["id_token"])
        about = Statement(
            service=self.service, challenge=challenge, npub=npub, group=group, client_id=client_id, digest=digest
        ).to_bytes()
        device = known.devices[npub]
        try:
            counter = self.kinds[presented["kind"]].check(presented, about, device, self.now())
        except AttestationRefused:
            raise refused() from None
        step = matching_step(known.seed, fields["totp"], self.now(), known.last_step)
        if step is None or presented["device_id"] != device.device_id:
            raise refused()
        known.devices[npub] = replace(device, counter=counter)
        known.last_step, proof = step, base64url_encode(os.urandom(24))
        self.proofs[proof] = (npub, group, client_id, digest)
        return {"jwt_proof": proof, "expires_at": to_milliseconds(self.now()) + 300_000}

    def _approve(self, fields: dict[str, Any]) -> dict[str, Any]:
        event = fields["event"]
        content, tags = json.loads(event["content"]), {tag[0]: tag[1] for tag in event["tags"]}
        digest = request_digest(
            "approve", client_id="", group=tags["mls"], target=tags["action"], reason="", params=content["params"]
        )
        if self.required:
            self._use(content["jwt_proof"], (event["pubkey"], tags["mls"], "", digest))
        self.approvals.append({"tags": tags, "content": content})
        return {"invite": content["params"]["invite"], "approvals": 1, "needed": 1}

    def _use(self, proof: str, act: tuple[str, str, str, str]) -> None:
        if proof in self.used or self.proofs.get(proof) != act:
            raise refused()
        self.used.add(proof)

    def _taken(self, fields: dict[str, Any]) -> str:
        if self.refuse_challenges or fields["challenge"] not in self.challenges:
            self.refuse_challenges = max(self.refuse_challenges - 1, 0)
            raise refused("challenge_refused")
        self.challenges.remove(fields["challenge"])
        return str(fields["challenge"])

    def _is(self, user: str, id_token: str) -> None:
        claims = json.loads(base64url_decode(id_token.split(".")[1]))
        if claims["sub"] != user or claims["exp"] <= self.now().timestamp():
            raise refused()
