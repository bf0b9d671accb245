"""The events that a device signs (docs/protocol.md §8): commands, acknowledgements, key packages and envelopes.

Tags and content are made from the same values, so they always agree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode
from keyturn.proofs.nostr import PRIVATE_KEY_BYTES, public_key, sign_event
from keyturn.proofs.receipts import sign_receipt
from keyturn.proofs.request_digest import request_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keyturn.proofs.nostr import Event
    from keyturn.proofs.receipts import AckStatement

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


def utc_now() -> datetime:
    """Return this machine's time, aware and in UTC. Only the edge calls it. Everything else gets a clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class EventSigner:
    """The device's private key (`bytes, 32`), its clock and its source of randomness."""

    private_key: bytes = field(repr=False)
    now: Callable[[], datetime]
    random: Callable[[int], bytes]

    @property
    def public_key(self) -> str:
        """The device's public key, 64 hex digits."""
        return public_key(self.private_key)

    def sign(self, kind: int, tags: Sequence[Sequence[str]], content: str) -> Event:
        """Return an event that is signed now."""
        created_at = int(self.now().timestamp())
        return sign_event(
            self.private_key, kind=kind, tags=tags, content=content, created_at=created_at, random=self.random
        )


# --- rotations -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationRequest:
    """The content of a rotation request. `not_before` is Unix milliseconds, None for the policy's earliest time."""

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
        """The digest that a proof for this request is bound to."""
        return request_digest(
            "emergency" if self.emergency else "rotation",
            client_id=self.client_id,
            group=self.group,
            target=self.rotation_id,
            reason=self.reason,
            params=self.params(),
        )


def rotation_event(signer: EventSigner, request: RotationRequest, proof: str = _NO_PROOF) -> Event:
    """Return the event that requests a rotation: kind 40901, or 40910 for an emergency."""
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


# --- acknowledgements ------------------------------------------------------------------------------------------------


def ack_digest(ack: AckStatement) -> str:
    """Return the digest that a proof for an acknowledgement is bound to.

    It covers neither group nor time: an acknowledgement names no group, and its event is signed after the proof.
    """
    names = ("version_id", "secret_hash", "mac_key_ref")
    return request_digest(
        "ack",
        client_id=ack.client_id,
        group="",
        target=ack.rotation_id,
        reason="",
        params={name: getattr(ack, name) for name in names},
    )


def ack_event(signer: EventSigner, ack: AckStatement, secret: str, proof: str = _NO_PROOF) -> Event:
    """Return the event that acknowledges a notice, with a receipt that only a holder of its secret can make."""
    names = ("rotation_id", "client_id", "version_id", "ack_by", "ack_at", "secret_hash", "mac_key_ref")
    content: dict[str, object] = {name: getattr(ack, name) for name in names}
    content |= {"receipt": sign_receipt(secret, ack)} | ({"jwt_proof": proof} if proof else {})
    tags = [("rotation", ack.rotation_id), ("client", ack.client_id), ("version", ack.version_id), _PROTOCOL]
    return signer.sign(ROTATE_ACK, tags, _json(content))


# --- other commands --------------------------------------------------------------------------------------------------


def service_event(
    signer: EventSigner,
    *,
    action_type: str,
    action_id: str,
    client_id: str,
    group: str,
    params: Mapping[str, object],
    proof: str = _NO_PROOF,
) -> Event:
    """Return the event of any other command. `client_id` is "" for a command that concerns no client."""
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
    """Any command but a rotation, before it is signed. `client_id` is "" for a command that concerns no client."""

    action_type: str
    action_id: str
    client_id: str
    group: str
    params: Mapping[str, object]

    @property
    def digest(self) -> str:
        """The digest that a proof for this request is bound to."""
        return request_digest(
            self.action_type,
            client_id=self.client_id,
            group=self.group,
            target=self.action_id,
            reason=str(self.params.get("reason") or ""),
            params=self.params,
        )

    def event(self, signer: EventSigner, proof: str) -> Event:
        """Return the signed event, with a proof that is bound to the digest."""
        return service_event(
            signer,
            action_type=self.action_type,
            action_id=self.action_id,
            client_id=self.client_id,
            group=self.group,
            params=self.params,
            proof=proof,
        )


# --- MLS messages ----------------------------------------------------------------------------------------------------


def key_package_event(signer: EventSigner, key_package: bytes) -> Event:
    """Return the event that offers a key package (RFC 9420 §10) for a Welcome."""
    return signer.sign(KEY_PACKAGE, [], base64url_encode(key_package))


def envelope_event(signer: EventSigner, group_id: str, message: bytes) -> Event:
    """Return an MLSMessage as a kind-445 event. Its key is used once, so that the envelope reveals no sender."""
    single_use = EventSigner(signer.random(PRIVATE_KEY_BYTES), signer.now, signer.random)
    return single_use.sign(GROUP_MESSAGE, [("h", group_id)], base64url_encode(message))


def mls_payload(event: Event) -> bytes:
    """Return an event as MLS application data: kind, created_at, tags and content. The MLS sender is the signer."""
    fields = event.to_dict()
    return _json({name: fields[name] for name in ("kind", "created_at", "tags", "content")}).encode("utf-8")


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
