"""Users of a world that requires proofs: each has a device, one-time codes and an identity, and sends requests."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pyotp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.device.core.signed_events import EventSigner, key_package_event
from keyturn.domain.encodings import base64url_encode, invite_id, ulid
from keyturn.proofs.nip98 import sign_authorization
from keyturn.proofs.request_digest import request_digest
from keyturn.proofs.statement import RegistrationStatement, Statement

from tests.functions.scene import key_package
from tests.world import GROUP, URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.proofs.nostr import Event
    from werkzeug.test import TestResponse

    from tests.world import World

PROFILE = [("profile", "nip-kr/0.1.0"), ("nip-service", "0.1.0")]


def body(answer: TestResponse) -> dict[str, Any]:
    return cast("dict[str, Any]", answer.json)


def refusal(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, str(body(answer).get("reason"))


@dataclass
class Person:
    """Somebody with one device; `secret` is their authenticator's (base32), once they have one."""

    world: World
    user: str
    device: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    private_key: bytes = field(default_factory=lambda: os.urandom(32))
    secret: str = ""

    @property
    def signer(self) -> EventSigner:
        return EventSigner(self.private_key, self.world.clock, os.urandom)

    @property
    def npub(self) -> str:
        return self.signer.public_key

    @property
    def device_id(self) -> str:
        evidence = {"public_key": self._public_key(), "signature": base64url_encode(self.device.sign(b"x"))}
        return DevAttestation().register(evidence, b"x", self.world.clock.now).device_id

    def with_new_phone(self) -> Person:
        return replace(self, device=Ed25519PrivateKey.generate(), private_key=os.urandom(32))

    def _public_key(self) -> str:
        return base64url_encode(self.device.public_key().public_bytes_raw())

    def _sign(self, statement: bytes) -> str:
        return base64url_encode(self.device.sign(statement))

    # --- what each function requires ----------------------------------------------------------------------------------

    def challenge(self) -> str:
        return str(body(self.world.call("POST", "/admin_proof/challenge"))["challenge"])

    def id_token(self) -> str:
        return str(body(self.world.operator("/id_tokens", {"user": self.user}))["id_token"])

    def code(self) -> str:
        return pyotp.TOTP(self.secret).at(int(self.world.clock.now.timestamp()))

    def fresh_code(self) -> str:
        """Return a code that was not used yet: half a minute passes."""
        self.world.clock.advance(seconds=30)
        return self.code()

    def signed(self, path: str, fields: Mapping[str, object], **changes: Any) -> TestResponse:  # noqa: ANN401 - of the header
        sent = json.dumps(fields).encode()
        about = {"url": f"{URL}{path}", "method": "POST", "body": sent, "now": self.world.clock.now, **changes}
        header = sign_authorization(about.pop("key", self.private_key), random=os.urandom, **about)
        return self.world.call("POST", path, sent, {"Authorization": header})

    # --- enrolment ----------------------------------------------------------------------------------------------------

    def registration(self, code: str, **changes: object) -> dict[str, object]:
        """Return the request of an honest device, with changes."""
        challenge = str(changes.pop("challenge", "") or self.challenge())
        statement = RegistrationStatement(service=URL, challenge=challenge, npub=self.npub, invite=invite_id(code))
        device = {
            "kind": "dev_attest",
            "device_id": self.device_id,
            "public_key": self._public_key(),
            "signature": self._sign(statement.to_bytes()),
        }
        return {"code": code, "challenge": challenge, "id_token": self.id_token(), "device": device, **changes}

    def register(self, code: str, **changes: object) -> TestResponse:
        answer = self.signed("/enrol/registration", self.registration(code, **changes))
        if answer.status_code == 200 and body(answer)["totp"]:
            self.secret = pyotp.parse_uri(body(answer)["totp"]).secret
        return answer

    def confirm(self, code: str, totp: str = "") -> TestResponse:
        return self.signed("/enrol/registration/confirm", {"code": code, "totp": totp or self.code()})

    def offer(self) -> Event:
        return key_package_event(self.signer, key_package(self.npub, self.world.clock.now))

    def join(self, code: str, event: Event | None = None) -> TestResponse:
        sent = {"code": code, "event": (event or self.offer()).to_dict()}
        return self.world.call("POST", "/enrol/", json.dumps(sent).encode())

    def come_back(self, group: str = GROUP) -> TestResponse:
        sent = {"group": group, "event": self.offer().to_dict()}
        return self.world.call("POST", "/enrol/", json.dumps(sent).encode())

    def enrol(self, code: str) -> Person:
        """Register, confirm and join; every step must succeed."""
        for step in (self.register, self.confirm, self.join):
            answer = step(code)
            assert answer.status_code == 200, answer.text
        return self

    # --- proofs -------------------------------------------------------------------------------------------------------

    def prove(self, digest: str, group: str = GROUP, client_id: str = "", **changes: object) -> TestResponse:
        challenge = self.challenge()
        about = {"npub": self.npub, "group": group, "client_id": client_id, "digest": digest}
        signature = self._sign(Statement(service=URL, challenge=challenge, **about).to_bytes())
        named = {"mls_group": group} if group else {}
        asked = {
            "challenge": challenge,
            "id_token": self.id_token(),
            "device": {"kind": "dev_attest", "device_id": self.device_id, "signature": signature},
            "totp": self.fresh_code(),
            "request_digest": digest,
            **named,
            **({"client_id": client_id} if client_id else {}),
            **changes,
        }
        return self.signed("/admin_proof/proof", asked)

    def proof(self, digest: str, **about: str) -> str:
        answer = self.prove(digest, **about)
        assert answer.status_code == 200, answer.text
        return str(body(answer)["jwt_proof"])

    def action(
        self, action: str, params: Mapping[str, object], client_id: str, proof: str | None = None, target: str = ""
    ) -> Event:
        """Return a 40910 event with a proof of its own, or the one given."""
        target = target or ulid(self.world.clock.now, os.urandom(10))
        about = {
            "client_id": client_id,
            "group": GROUP,
            "target": target,
            "reason": str(params.get("rotation_reason", "")),
        }
        digest = request_digest(action, **about, params=params)
        given = self.proof(digest, client_id=client_id, action=action) if proof is None else proof
        tags = [("service", action), ("action", target), ("mls", GROUP), *PROFILE]
        content = {"action_type": action, "action_id": target, "client_id": client_id, "profile": PROFILE[0][1]}
        whole = {**content, "params": dict(params), "jwt_proof": given}
        return self.signer.sign(40910, [*tags, *([("client", client_id)] if client_id else [])], json.dumps(whole))

    def approval(self, invite: str, user: str, purpose: str = "join", proof: str | None = None) -> Event:
        return self.action("approve", {"invite": invite, "user": user, "purpose": purpose}, "", proof)

    def approve(self, invite: str, user: str, purpose: str = "join") -> TestResponse:
        return self.send_approval(self.approval(invite, user, purpose))

    def approve_if_proven(self, invite: str, user: str, purpose: str) -> TestResponse:
        """Approve with a proof, if one is to be had; else without."""
        target = ulid(self.world.clock.now, os.urandom(10))
        params = {"invite": invite, "user": user, "purpose": purpose}
        about = {"client_id": "", "group": GROUP, "target": target, "reason": ""}
        answer = self.prove(request_digest("approve", **about, params=params))
        proof = str(body(answer).get("jwt_proof", ""))
        return self.send_approval(self.action("approve", params, "", proof, target))

    def send_approval(self, event: Event) -> TestResponse:
        return self.world.call("POST", "/enrol/approvals", json.dumps({"event": event.to_dict()}).encode())


def invite(world: World, user: str, **more: object) -> dict[str, Any]:
    answer = world.operator("/invites", {"user": user, "group_id": GROUP, **more})
    assert answer.status_code == 200, answer.text
    return body(answer)


def admitted(world: World, user: str, *approvers: Person) -> Person:
    """Invite a user, have the others approve, and enrol them in the group."""
    made = invite(world, user)
    for approver in approvers:
        answer = approver.approve(made["invite"], user)
        assert answer.status_code == 200, answer.text
    return Person(world, user).enrol(made["code"])


def admins(world: World) -> dict[str, str]:
    return {admin["user"]: admin["status"] for admin in body(world.operator("/admins"))["admins"]}
