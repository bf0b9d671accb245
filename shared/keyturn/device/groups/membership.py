"""A device's memberships: for each group its MLS state, its position in the group's log, and the service's key.

1. The device learns the service's key once, when it joins: that key signed the Welcome, and is a member of the group.
2. A commit of this device's own waits in its membership, with the group state after it, until the log shows whether it
   or another commit won the epoch (RFC 9420 §14).
3. A membership may be lost. The device then sends nothing from it, and rejoins with a fresh key package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from keyturn.device.core.errors import NotEnrolledError, UntrustedMessageError
from keyturn.device.home.errors import DamagedError
from keyturn.domain.encodings import base64url_decode, base64url_encode, to_milliseconds
from keyturn.domain.errors import Refusal
from keyturn.mls import Group, InvalidState
from keyturn.proofs.nostr import open_event
from keyturn.proofs.npub import encode_npub
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.device.home.home import Home
    from keyturn.device.home.sealed_files import RecordKey

GROUP = "group"
NOT_INVITED = "Have it invited: `keyturn device invite`, then `device join`."


class LostReason(StrEnum):
    """Why a membership can't be used. The home stores these values."""

    OUT_OF_SYNC = "astray"
    """The group moved on, and this device can't process the commits, or was away for too long."""
    ROLLED_BACK = "rolled_back"
    """An older copy of the device's state was restored: its sending keys may have been used already."""
    REMOVED = "removed"
    """The group no longer knows this device: it needs a new invite."""


@dataclass(frozen=True, slots=True)
class PendingUpdate:
    """A path update of this device's own (an MLSMessage), the envelope that carries it (JSON), the group after it."""

    message: bytes = field(repr=False)
    envelope: str = field(repr=False)
    after: Group = field(repr=False)

    def to_record(self) -> dict[str, str]:
        """Return the record. It contains the group's keys."""
        message, after = base64url_encode(self.message), base64url_encode(self.after.to_bytes())
        return {"message": message, "envelope": self.envelope, "after": after}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Self:
        """Return the update of a record; `InvalidState`, `Refusal` or `KeyError` for any other data."""
        after = Group.from_bytes(base64url_decode(str(record["after"])))
        return cls(base64url_decode(str(record["message"])), str(record["envelope"]), after)


@dataclass(frozen=True, slots=True)
class DeviceMembership:
    """One group of this device. `service` is the service's public key (64 hex digits), `cursor` the last index read.

    `keys_updated_at` (Unix milliseconds) is when the device last replaced its own keys or joined.
    """

    group_id: str
    user: str
    service: str
    cursor: int
    group: Group = field(repr=False)
    keys_updated_at: int = 0
    pending_update: PendingUpdate | None = field(default=None, repr=False)
    lost_reason: LostReason | None = None

    @property
    def npubs(self) -> tuple[str, ...]:
        """The members' keys in the form for people (NIP-19), without the service's."""
        identities = [member.identity.hex() for member in self.group.members]
        return tuple(encode_npub(identity) for identity in identities if identity != self.service)

    @property
    def is_usable(self) -> bool:
        """Whether this device may send to the group."""
        return self.group.is_active and self.lost_reason is None

    @property
    def needs_rejoin(self) -> bool:
        """Whether the device has to rejoin with a fresh key package, and is allowed to."""
        return not self.is_usable and self.lost_reason is not LostReason.REMOVED

    def lost_because(self, reason: LostReason) -> DeviceMembership:
        """Return the membership as one that nothing is sent from."""
        # The pending update was made with the keys that must not be used any more.
        return replace(self, lost_reason=reason, pending_update=None)

    def after_update(self, update: PendingUpdate, now: datetime) -> DeviceMembership:
        """Return the membership after the log has shown its own path update."""
        return replace(self, group=update.after.expire(now), pending_update=None, keys_updated_at=to_milliseconds(now))

    def to_bytes(self) -> bytes:
        """Return the record. It contains the group's keys: only the sealed home may store it."""
        record = {
            "user": self.user,
            "service": self.service,
            "cursor": self.cursor,
            "state": base64url_encode(self.group.to_bytes()),
            "renewed_at": self.keys_updated_at,
            "renewal": self.pending_update and self.pending_update.to_record(),
            "lost": self.lost_reason,
        }
        return json.dumps(record).encode("ascii")

    @classmethod
    def from_bytes(cls, group_id: str, data: bytes) -> DeviceMembership:
        """Return the membership of a record; `DamagedError` for any other data."""
        try:
            record = load_object(data)
            update = record.get("renewal")
            return cls(
                group_id,
                str(record["user"]),
                str(record["service"]),
                int(str(record["cursor"])),
                Group.from_bytes(base64url_decode(str(record["state"]))),
                int(str(record.get("renewed_at", 0))),
                PendingUpdate.from_record(update) if isinstance(update, dict) else None,
                LostReason(str(record["lost"])) if record.get("lost") else None,
            )
        except (Refusal, InvalidState, KeyError, ValueError):
            raise DamagedError from None


class Memberships:
    """The memberships in an opened home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def all(self) -> list[DeviceMembership]:
        """Return all memberships by group id, including those of groups that removed the device."""
        return [self.load(group_id) for group_id in self._home.ids(GROUP)]

    def load(self, group_id: str) -> DeviceMembership:
        """Return the membership of a group; `DamagedError` if there is none."""
        return DeviceMembership.from_bytes(group_id, self._home.load(GROUP, group_id) or b"")

    def require(self, group_id: str) -> DeviceMembership:
        """Return the membership of a group; `NotEnrolledError` if the device never had one."""
        if not self.is_known(group_id):
            raise NotEnrolledError("This device is not a member of that group.", NOT_INVITED)
        return self.load(group_id)

    def is_known(self, group_id: str) -> bool:
        """Return whether the device has or had a membership of a group."""
        return group_id in self._home.ids(GROUP)

    def usable(self, group_id: str) -> DeviceMembership | None:
        """Return the membership of a group if the device may send to it, else None."""
        membership = self.load(group_id) if self.is_known(group_id) else None
        return membership if membership is not None and membership.is_usable else None

    def save(self, membership: DeviceMembership) -> None:
        """Save one membership. The caller has locked the home since it loaded it."""
        self._home.save_all(changes_of(membership))

    def mark_lost(self, group_id: str, reason: LostReason) -> DeviceMembership:
        """Record that a membership can't be used any more."""
        with self._home.locked():
            membership = self.load(group_id).lost_because(reason)
            self.save(membership)
        return membership

    def changes_of_expiry(self, now: datetime) -> dict[RecordKey, bytes | None]:
        """Return the changes that delete keys of past epochs (forward secrecy). The caller has locked the home."""
        changes: dict[RecordKey, bytes | None] = {}
        for membership in self.all():
            record = replace(membership, group=membership.group.expire(now)).to_bytes()
            if record != membership.to_bytes():
                changes[GROUP, membership.group_id] = record
        return changes


def changes_of(membership: DeviceMembership) -> dict[RecordKey, bytes | None]:
    """Return the change that saves a membership, to be saved together with others."""
    return {(GROUP, membership.group_id): membership.to_bytes()}


def open_group_event(fields: Mapping[str, object], kind: int, group_id: str) -> tuple[str, dict[str, str], bytes]:
    """Return an event's signer (64 hex digits), its tags and its MLSMessage.

    `UntrustedMessageError` unless it is a valid event of this kind for this group.
    """
    try:
        event = open_event(fields)
        message = base64url_decode(event.content)
    except Refusal:
        raise untrusted_message() from None
    if event.kind != kind or event.tag("h") != group_id or event.tag_count("h") != 1:
        raise untrusted_message()
    return event.pubkey, {tag[0]: tag[1] for tag in event.tags if len(tag) > 1}, message


def untrusted_message() -> UntrustedMessageError:
    """Return the error for a message that the service did not sign for this group."""
    return UntrustedMessageError("The server sent a message that is not signed for this group.", "Check --url.")
