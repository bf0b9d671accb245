"""Requests to admin_proof whose signature (NIP-98) does not hold."""

from __future__ import annotations

import base64
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import functions_framework
from keyturn.domain.encodings import base64url_encode
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.proof_settings import ProofSettings
from keyturn.entry.config.settings import Settings, Stage
from keyturn.proofs.nip98 import sign_authorization
from keyturn.proofs.statement import Statement
from werkzeug.test import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.test import TestResponse

    from tests.proving.stage import Stage as People


SOURCE = Path(__file__).parents[2] / "functions" / "admin_proof" / "main.py"
URL = "https://keyturn.example"
ELSEWHERE = "https://other.example/admin_proof/proof"


class AdminProof:
    """The function `admin_proof`, and the users who may call it."""

    def __init__(self, folder: Path, people: People) -> None:
        self.people = people
        settings = ProofSettings(identity="local_identity", attestations=("dev_attest",))
        overrides = Overrides(databases=people.databases, keys=people.keys, proof_settings=settings)
        self.suite = Suite(Settings(stage=Stage.LOCAL, data=folder, base_url=URL), overrides)
        self.proofs = self.suite.proofs
        self.client = Client(functions_framework.create_app(target="admin_proof", source=str(SOURCE)))  # type: ignore[no-untyped-call]  # the framework has no types

    def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.client.post(path, data=body, headers=dict(headers or {}))

    def body(self, changes: Mapping[str, object] | None = None, user: str = "alice") -> dict[str, object]:
        person, act = self.people.people[user], self.people.act(user)
        challenge = str(cast("dict[str, Any]", self.post("/challenge").json)["challenge"])
        about = {"npub": act.npub, "group": act.group, "client_id": act.client_id, "digest": act.digest}
        signature = person.device_key.sign(Statement(service=URL, challenge=challenge, **about).to_bytes())
        device = {
            "kind": "dev_attest",
            "device_id": person.registered().device_id,
            "signature": base64url_encode(signature),
        }
        return {
            "challenge": challenge,
            "id_token": self.proofs.local_identity_provider.issue(f"subject-{user}", self.people.now),
            "device": device,
            "totp": person.code(self.people.now),
            "mls_group": act.group,
            "client_id": act.client_id,
            "request_digest": act.digest,
            **(changes or {}),
        }

    def prove(self, body: Mapping[str, object], user: str = "alice", url: str = URL) -> TestResponse:
        sent = json.dumps(body).encode()
        return self.post("/proof", sent, {"Authorization": self.signed(sent, user, url=f"{url}/admin_proof/proof")})

    def signed(self, sent: bytes, user: str = "alice", **changes: Any) -> str:  # noqa: ANN401 - what is signed
        """Return the header with which a user's key signs a request; `changes` apply to the signed event."""
        honest: dict[str, Any] = {
            "url": f"{URL}/admin_proof/proof",
            "method": "POST",
            "body": sent,
            "now": self.people.now,
        }
        return sign_authorization(self.people.people[user].private_key, **{**honest, **changes}, random=os.urandom)


def rewritten(endpoint: AdminProof, sent: bytes, **changes: object) -> str:
    """Return an honest header whose event was changed afterwards."""
    event = json.loads(base64.b64decode(endpoint.signed(sent).partition(" ")[2]))
    return carrying({**event, **changes})


def carrying(event: Mapping[str, object]) -> str:
    return "Nostr " + base64.b64encode(json.dumps(event, separators=(",", ":")).encode()).decode()


def at(endpoint: AdminProof, seconds: int) -> Any:  # noqa: ANN401 - a time
    return endpoint.people.now + timedelta(seconds=seconds)


POSSESSION: dict[str, tuple[Callable[[AdminProof, bytes], str], tuple[int, str]]] = {
    "no signature": (lambda _endpoint, _sent: "", (401, "not_signed")),
    "a bearer token": (lambda endpoint, sent: "Bearer " + endpoint.signed(sent)[6:], (400, "malformed_authorization")),
    "of a minute ago": (lambda endpoint, sent: endpoint.signed(sent, now=at(endpoint, -61)), (401, "wrong_time")),
    "of a minute ahead": (lambda endpoint, sent: endpoint.signed(sent, now=at(endpoint, 61)), (401, "wrong_time")),
    "for another address": (lambda d, sent: d.signed(sent, url=ELSEWHERE), (401, "wrong_url")),
    "for another path": (lambda d, sent: d.signed(sent, url=f"{URL}/admin_proof/challenge"), (401, "wrong_url")),
    "for another method": (lambda d, sent: d.signed(sent, method="GET"), (401, "wrong_method")),
    "for another body": (lambda d, sent: d.signed(sent + b" "), (401, "wrong_payload")),
    "for no body": (lambda d, sent: d.signed(sent, body=None), (401, "wrong_payload")),
    "of another's key": (lambda d, sent: d.signed(sent, "mallory"), (401, "proof_refused")),
    "of another member's key": (lambda d, sent: d.signed(sent, "bob"), (401, "proof_refused")),
    "under another's name": (
        lambda d, sent: rewritten(d, sent, pubkey=d.people.people["bob"].npub),
        (401, "wrong_event_id"),
    ),
    "dated anew": (lambda d, sent: rewritten(d, sent, created_at=int(at(d, 1).timestamp())), (401, "wrong_event_id")),
    "tags changed": (lambda d, sent: rewritten(d, sent, tags=[["u", URL]]), (401, "wrong_event_id")),
    "signed with nothing": (lambda d, sent: rewritten(d, sent, sig="0" * 128), (401, "bad_signature")),
    "an event for another purpose": (
        lambda d, _sent: carrying(json.loads(d.people.event().to_json())),
        (401, "wrong_kind"),
    ),
}  # fmt: skip
