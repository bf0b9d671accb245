"""A device's seat in one group: its MLS state, how far it has read the group's log, and whose service it trusts.

1. The service's key is learnt once, at joining: it signs the Welcome, and is a member of the group under that key.
2. A commit of this device's own waits in its seat, with the state after it, until the log shows which commit won.
3. A seat may be lost: nothing is sent from it any more, and the device comes back with a fresh key package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import AnotherServiceError, UntrustedMessageError
from keyturn.device.core.signed_events import WELCOME
from keyturn.device.home.errors import DamagedError
from keyturn.domain.encodings import base64url_decode, base64url_encode, identifier, to_milliseconds
from keyturn.domain.errors import Refusal
from keyturn.mls import Group, InvalidState, MlsError
from keyturn.proofs.nostr import open_event
from keyturn.proofs.npub import encode_npub
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.mls import KeyPackageSecrets


class Lost(StrEnum):
    """Why a seat can't be used."""

    ASTRAY = "astray"
    """The group went on where this device can't follow, or without it."""
    ROLLED_BACK = "rolled_back"
    """An older copy of the device's state was put back: what it would encrypt with may have been used."""
    REMOVED = "removed"
    """The group does not know this device any more: only a new invite brings it back."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A path update of this device's own (an MLSMessage), the envelope that carries it (JSON), the state after it."""

    message: bytes = field(repr=False)
    envelope: str = field(repr=False)
    after: Group = field(repr=False)

    def to_record(self) -> dict[str, str]:
        """Return the record; it holds the group's keys."""
        message, after = base64url_encode(self.message), base64url_encode(self.after.to_bytes())
        return {"message": message, "envelope": self.envelope, "after": after}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Self:
        """Return the renewal of a record; `InvalidState`, `Refusal` or `KeyError` if it is none."""
        after = Group.from_bytes(base64url_decode(str(record["after"])))
        return cls(base64url_decode(str(record["message"])), str(record["envelope"]), after)


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a group; `service` is the service's public key (64 hex digits), `cursor` the last index read.

    `renewed_at` (Unix milliseconds) is when the device last replaced its own keys, joining included.
    """

    group_id: str
    user: str
    service: str
    cursor: int
    group: Group = field(repr=False)
    renewed_at: int = 0
    renewal: Renewal | None = field(default=None, repr=False)
    lost: Lost | None = None

    @property
    def npubs(self) -> tuple[str, ...]:
        """The members' keys as people read them, without the service's."""
        identities = [member.identity.hex() for member in self.group.members]
        return tuple(encode_npub(identity) for identity in identities if identity != self.service)

    @property
    def is_usable(self) -> bool:
        """Whether this device may send from here."""
        return self.group.is_active and self.lost is None

    @property
    def wants_return(self) -> bool:
        """Whether the device has to come back with a fresh key package, and may."""
        return not self.is_usable and self.lost is not Lost.REMOVED

    def given_up(self, lost: Lost) -> Seat:
        """Return the seat as one that nothing is sent from any more."""
        return replace(self, lost=lost, renewal=None)

    def adopted(self, renewal: Renewal, now: datetime) -> Seat:
        """Return the seat after its own path update was seen in the log."""
        return replace(self, group=renewal.after.expire(now), renewal=None, renewed_at=to_milliseconds(now))

    def to_bytes(self) -> bytes:
        """Return the record; it holds the group's keys, and is for the sealed home only."""
        record = {
            "user": self.user,
            "service": self.service,
            "cursor": self.cursor,
            "state": base64url_encode(self.group.to_bytes()),
            "renewed_at": self.renewed_at,
            "renewal": self.renewal and self.renewal.to_record(),
            "lost": self.lost,
        }
        return json.dumps(record).encode("ascii")

    @classmethod
    def from_bytes(cls, group_id: str, data: bytes) -> Seat:
        """Return the seat of a record; `DamagedError` if it is none."""
        try:
            record = load_object(data)
            renewal = record.get("renewal")
            return cls(
                group_id,
                str(record["user"]),
                str(record["service"]),
                int(str(record["cursor"])),
                Group.from_bytes(base64url_decode(str(record["state"]))),
                int(str(record.get("renewed_at", 0))),
                Renewal.from_record(renewal) if isinstance(renewal, dict) else None,
                Lost(str(record["lost"])) if record.get("lost") else None,
            )
        except (Refusal, InvalidState, KeyError, ValueError):
            raise DamagedError from None


def take_seat(answer: Mapping[str, object], key_package: KeyPackageSecrets, now: datetime) -> Seat:
    """Return the seat that the answer of `enrol` offers.

    `UntrustedMessageError` if its Welcome is not for this key package and group, or `AnotherServiceError` if whoever
    signed it is no member.
    """
    group_id, event = _group_id(answers.text(answer, "group")), answers.mapping(answer, "event")
    signed_by, tags, message = opened(event, WELCOME, group_id)
    try:
        group = Group.join(message, key_package, now=now)
    except MlsError:
        raise untrusted() from None
    if group.group_id != group_id.encode("utf-8"):
        raise untrusted()
    if signed_by not in {member.identity.hex() for member in group.members}:
        raise AnotherServiceError(
            "Whoever signed the Welcome is no member of the group.", "Check --url, and ask for a new invite."
        )
    user, cursor = answers.text(answer, "user"), _index(tags.get("after"))
    return Seat(group_id, user, signed_by, cursor, group, to_milliseconds(now))


def opened(fields: Mapping[str, object], kind: int, group_id: str) -> tuple[str, dict[str, str], bytes]:
    """Return who signed an event, its tags and its message; `UntrustedMessageError` unless it is for the group."""
    try:
        event = open_event(fields)
        message = base64url_decode(event.content)
    except Refusal:
        raise untrusted() from None
    if event.kind != kind or event.tag("h") != group_id or event.tag_count("h") != 1:
        raise untrusted()
    return event.pubkey, {tag[0]: tag[1] for tag in event.tags if len(tag) > 1}, message


def untrusted() -> UntrustedMessageError:
    """Return the error for what the service did not sign for this group."""
    return UntrustedMessageError("The server showed a message that is not signed for this group.", "Check --url.")


def _group_id(text: str) -> str:
    try:
        return identifier(text)  # it will stand in addresses
    except Refusal:
        raise untrusted() from None


def _index(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit():
        raise untrusted()
    return int(value)
