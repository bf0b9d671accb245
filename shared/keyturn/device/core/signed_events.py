"""What a device signs (protocol.md §8): commands of the kinds 40901, 40902 and 40910, key packages, envelopes.

Tags and content say the same, made from the same values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode, to_milliseconds
from keyturn.proofs.nostr import PRIVATE_KEY_BYTES, public_key, sign_event
from keyturn.proofs.receipts import AckStatement, sign_receipt
from keyturn.proofs.request_digest import request_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from keyturn.device.core.notice import Notice
    from keyturn.proofs.nostr import Event

KEY_PACKAGE = 443
KEY_PACKAGES = frozenset({KEY_PACKAGE, 30443})
WELCOME = 444
GROUP_MESSAGE = 445
ROTATE_REQUEST = 40901
ROTATE_ACK = 40902
SERVICE_REQUEST = 40910

_PROTOCOL = ("nip-kr", "0.1.0")
_PROFILE = "nip-kr/0.1.0"
_SERVICE = ("nip-service", "0.1.0")
_NO_PROOF = ""


@dataclass(frozen=True, slots=True)
class Signer:
    """The device's key (`bytes, 32`), clock and source of randomness."""

    private_key: bytes = field(repr=False)
    now: Callable[[], datetime]
    random: Callable[[int], bytes]

    @property
    def public_key(self) -> str:
        """The device's public key, 64 hex digits."""
        return public_key(self.private_key)

    def sign(self, kind: int, tags: Sequence[Sequence[str]], content: str) -> Event:
        """Return the signed event, of now."""
        created_at = int(self.now().timestamp())
        return sign_event(
            self.private_key, kind=kind, tags=tags, content=content, created_at=created_at, random=self.random
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationRequest:
    """What a request for a rotation says; `not_before` is Unix milliseconds, None for the policy's earliest."""

    client_id: str
    rotation_id: str
    reason: str
    group: str
    grace_milliseconds: int
    not_before: int | None = None
    supersede: bool = False
    emergency: bool = False

    def params(self) -> dict[str, object]:
        """Return the request's own fields, under the protocol's names."""
        fields: dict[str, object] = {
            "rotation_id": self.rotation_id,
            "rotation_reason": self.reason,
            "grace_duration_ms": self.grace_milliseconds,
            "mls_group": self.group,
        }
        if self.not_before is not None:
            fields["not_before"] = self.not_before
        return {**fields, "supersede": True} if self.supersede else fields

    @property
    def digest(self) -> str:
        """What a proof for this request is bound to."""
        return request_digest(
            "emergency" if self.emergency else "rotation",
            client_id=self.client_id,
            group=self.group,
            target=self.rotation_id,
            reason=self.reason,
            params=self.params(),
        )


def rotation_event(signer: Signer, request: RotationRequest, proof: str = _NO_PROOF) -> Event:
    """Return the event that asks for a rotation: 40901, or 40910 for an emergency; `proof` is bound to its digest."""
    if request.emergency:
        return service_event(
            signer,
            action_type="emergency",
            action_id=request.rotation_id,
            client_id=request.client_id,
            group=request.group,
            params={**request.params(), "reason": request.reason},
            proof=proof,
        )
    tags = [
        ("client", request.client_id),
        ("mls", request.group),
        ("rotation", request.rotation_id),
        ("reason", request.reason),
        _PROTOCOL,
    ]
    content = {"client_id": request.client_id, **request.params(), "jwt_proof": proof}
    return signer.sign(ROTATE_REQUEST, tags, _json(content))


def ack_digest(notice: Notice) -> str:
    """Return what a proof for acknowledging a notice is bound to; an acknowledgement names no group."""
    names = ("version_id", "secret_hash", "mac_key_ref")
    return request_digest(
        "ack",
        client_id=notice.client_id,
        group="",
        target=notice.rotation_id,
        reason="",
        params={name: getattr(notice, name) for name in names},
    )


def ack_event(signer: Signer, notice: Notice, secret: str, proof: str = _NO_PROOF) -> Event:
    """Return the event that acknowledges a notice, with the receipt that only who holds its secret can make."""
    ack = AckStatement(
        rotation_id=notice.rotation_id,
        client_id=notice.client_id,
        version_id=notice.version_id,
        ack_by=signer.public_key,
        ack_at=to_milliseconds(signer.now()),
        secret_hash=notice.secret_hash,
        mac_key_ref=notice.mac_key_ref,
    )
    names = ("rotation_id", "client_id", "version_id", "ack_by", "ack_at", "secret_hash", "mac_key_ref")
    content: dict[str, object] = {name: getattr(ack, name) for name in names}
    content |= {"receipt": sign_receipt(secret, ack)} | ({"jwt_proof": proof} if proof else {})
    tags = [("rotation", ack.rotation_id), ("client", ack.client_id), ("version", ack.version_id), _PROTOCOL]
    return signer.sign(ROTATE_ACK, tags, _json(content))


def service_event(
    signer: Signer,
    *,
    action_type: str,
    action_id: str,
    client_id: str,
    group: str,
    params: Mapping[str, object],
    proof: str = _NO_PROOF,
) -> Event:
    """Return the event of any other command; the reason is one of the params. What concerns no client has "" for it."""
    tags = [
        ("service", action_type),
        ("action", action_id),
        *([("client", client_id)] if client_id else []),
        ("mls", group),
        ("profile", _PROFILE),
        _SERVICE,
    ]
    content = {
        "action_type": action_type,
        "action_id": action_id,
        "client_id": client_id,
        "profile": _PROFILE,
        "params": dict(params),
        "jwt_proof": proof,
    }
    return signer.sign(SERVICE_REQUEST, tags, _json(content))


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """Any command but a rotation, to be signed; `client_id` is "" where it concerns no client."""

    action_type: str
    action_id: str
    client_id: str
    group: str
    params: Mapping[str, object]

    @property
    def digest(self) -> str:
        """What a proof for this request is bound to."""
        return request_digest(
            self.action_type,
            client_id=self.client_id,
            group=self.group,
            target=self.action_id,
            reason=str(self.params.get("reason") or ""),
            params=self.params,
        )

    def event(self, signer: Signer, proof: str) -> Event:
        """Return its event, with a proof that is bound to its digest."""
        return service_event(
            signer,
            action_type=self.action_type,
            action_id=self.action_id,
            client_id=self.client_id,
            group=self.group,
            params=self.params,
            proof=proof,
        )


def key_package_event(signer: Signer, key_package: bytes) -> Event:
    """Return the event that offers a key package (RFC 9420 §10) for a Welcome."""
    return signer.sign(KEY_PACKAGE, [], base64url_encode(key_package))


def envelope_event(signer: Signer, group_id: str, message: bytes) -> Event:
    """Return an MLSMessage as a kind-445 event under a key that is used for it alone: the outside shows no sender."""
    once = Signer(signer.random(PRIVATE_KEY_BYTES), signer.now, signer.random)
    return once.sign(GROUP_MESSAGE, [("h", group_id)], base64url_encode(message))


def said(event: Event) -> bytes:
    """Return an event as it is said inside MLS, where its sender is the signer: kind, created_at, tags, content."""
    fields = event.to_dict()
    return _json({name: fields[name] for name in ("kind", "created_at", "tags", "content")}).encode("utf-8")


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
