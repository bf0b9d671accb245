"""Rotation notices (`rotate-notify`, docs/protocol.md §8), and the inbox in which a device keeps them.

1. MLS decrypts a message only once, because its key is then deleted (RFC 9420 §9.2). So a notice is saved, sealed, in
   the same change as the group state that decrypted it.
2. The secret is deleted once it was both delivered (shown, written to a file or passed to a program) and acknowledged.
   Before that it is needed: the receipt of an acknowledgement is made with it. The rest of the notice stays.
3. A secret is delivered once.
4. The notice is deleted when the old version's grace window has ended, but at the earliest seven days after it arrived:
   even with a short grace window, the secret must still reach the integrator.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from keyturn.device.core.errors import NoticeError
from keyturn.device.home.errors import DamagedError
from keyturn.domain.encodings import (
    base64url_decode,
    identifier,
    milliseconds,
    rotation_identifier,
    to_milliseconds,
    version_identifier,
)
from keyturn.domain.errors import InvalidRequest
from keyturn.proofs.receipts import AckStatement
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from keyturn.device.home.home import Home
    from keyturn.device.home.sealed_files import RecordKey

INBOX = "inbox"
KEPT_AT_LEAST = timedelta(days=7)
_HASH_BYTES = 32
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice that was received. Times are Unix milliseconds, None for an event that has not happened."""

    rotation_id: str
    client_id: str
    version_id: str
    group: str
    secret: str | None = field(repr=False)
    secret_hash: str
    mac_key_ref: str
    not_before: int
    grace_until: int | None
    sender: str
    received_at: int
    acked_at: int | None = None
    taken_at: int | None = None
    """When the secret was delivered."""

    def require_secret(self) -> str:
        """Return the secret; `NoticeError` if it was deleted."""
        if self.secret is None:
            raise NoticeError(
                "The secret of this rotation was delivered and acknowledged, and is deleted.",
                "If it got lost, rotate again.",
            )
        return self.secret

    def undelivered_secret(self) -> str:
        """Return the secret to deliver it; `NoticeError` if it was delivered before."""
        if self.taken_at is not None:
            raise NoticeError(
                "The secret of this rotation was already delivered. It is delivered only once.",
                "If it got lost, rotate again.",
            )
        return self.require_secret()

    def after_delivery(self, now: datetime) -> Notice:
        """Return the notice after its secret was delivered."""
        return _without_needless_secret(replace(self, taken_at=self.taken_at or to_milliseconds(now)))

    def after_ack(self, now: datetime) -> Notice:
        """Return the notice after the server accepted its acknowledgement."""
        return _without_needless_secret(replace(self, acked_at=self.acked_at or to_milliseconds(now)))

    def is_expired(self, now: datetime) -> bool:
        """Return whether the notice may be deleted."""
        kept_until = max(self.grace_until or 0, self.received_at + milliseconds(KEPT_AT_LEAST))
        return to_milliseconds(now) >= kept_until

    def agrees_with(self, other: Notice) -> bool:
        """Return whether two notices have the same version and secret, as two groups of a client receive them."""
        names = ("rotation_id", "client_id", "version_id", "secret_hash", "mac_key_ref")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def acknowledgement(self, public_key: str, now: datetime) -> AckStatement:
        """Return the acknowledgement of this notice by a device (its key, 64 hex digits)."""
        return AckStatement(
            rotation_id=self.rotation_id,
            client_id=self.client_id,
            version_id=self.version_id,
            ack_by=public_key,
            ack_at=to_milliseconds(now),
            secret_hash=self.secret_hash,
            mac_key_ref=self.mac_key_ref,
        )

    def to_bytes(self) -> bytes:
        """Return the record. It contains the secret: only the sealed home may store it."""
        return json.dumps({item.name: getattr(self, item.name) for item in fields(self)}).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Notice:
        """Return the notice of a record; `DamagedError` for any other data."""
        try:
            return cls(**load_object(data))  # type: ignore[arg-type]  # the home is sealed: we wrote it
        except (TypeError, InvalidRequest):
            raise DamagedError from None


class Inbox:
    """The notices in an opened home; `now` is this machine's clock."""

    def __init__(self, home: Home, now: Callable[[], datetime]) -> None:
        self._home = home
        self._now = now

    def notices(self) -> list[Notice]:
        """Return the notices, the oldest first."""
        notices = [self.notice(rotation_id) for rotation_id in self._home.ids(INBOX)]
        return sorted(notices, key=lambda notice: notice.received_at)

    def notice(self, rotation_id: str) -> Notice:
        """Return the notice of a rotation; `NoticeError` if the inbox has none."""
        notice = self.find(rotation_id)
        if notice is None:
            raise NoticeError(
                "The inbox has no notice of that rotation.",
                "`keyturn inbox` lists the notices. After `keyturn rotate`, a notice takes a moment to arrive.",
            )
        return notice

    def find(self, rotation_id: str) -> Notice | None:
        """Return the notice of a rotation, None if there is none; `InvalidRequest` for an invalid rotation id."""
        record = self._home.load(INBOX, rotation_identifier(rotation_id))
        return None if record is None else Notice.from_bytes(record)

    def mark_delivered(self, rotation_id: str) -> Notice:
        """Record that a secret was delivered: it is not delivered again, and is deleted once it is acknowledged."""
        with self._home.locked():
            notice = self.notice(rotation_id).after_delivery(self._now())
            self._home.save(INBOX, rotation_id, notice.to_bytes())
        return notice

    def changes_of_ack(self, rotation_id: str) -> dict[RecordKey, bytes | None]:
        """Return the changes to save once the server has an acknowledgement. The caller has locked the home."""
        return {(INBOX, rotation_id): self.notice(rotation_id).after_ack(self._now()).to_bytes()}

    def changes_of_expiry(self) -> dict[RecordKey, bytes | None]:
        """Return the changes that delete expired notices. The caller has locked the home."""
        now = self._now()
        return {(INBOX, notice.rotation_id): None for notice in self.notices() if notice.is_expired(now)}


def parse_notice(plaintext: bytes, *, group: str, epoch: int, sender: str, now: datetime) -> Notice:
    """Return the notice in an application message.

    `InvalidRequest` if it is not a notice, or is not for this group and epoch.
    """
    content = load_object(plaintext)
    # The service repeats both inside the message, so a notice can't be moved to another group or epoch.
    if content.get("group") != group or content.get("epoch") != epoch:
        raise InvalidRequest("wrong_place", "The notice is for another group or epoch.")
    grace_until = content.get("grace_until")
    return Notice(
        rotation_id=rotation_identifier(_typed(content, "rotation_id", str)),
        client_id=identifier(_typed(content, "client_id", str)),
        version_id=version_identifier(_typed(content, "version_id", str)),
        group=group,
        secret=_printable(_typed(content, "secret", str)),
        secret_hash=_hash(_typed(content, "secret_hash", str)),
        mac_key_ref=_printable(_typed(content, "mac_key_ref", str)),
        not_before=_typed(content, "not_before", int),
        grace_until=None if grace_until is None else _typed(content, "grace_until", int),
        sender=sender,
        received_at=to_milliseconds(now),
    )


def _without_needless_secret(notice: Notice) -> Notice:
    return replace(notice, secret=None) if notice.taken_at and notice.acked_at else notice


def _typed(content: Mapping[str, object], name: str, kind: type[_Value]) -> _Value:
    value = content.get(name)
    if type(value) is not kind:  # exactly: a bool is an int, and is no time
        raise InvalidRequest("bad_notice", "A field of the notice is missing or has the wrong type.")
    return value


def _printable(text: str) -> str:
    # A secret goes to terminals, files and programs: a control character could change what they do.
    if not text.isascii() or not text.isprintable() or not text:
        raise InvalidRequest("bad_notice", "A field of the notice is empty or has invalid characters.")
    return text


def _hash(text: str) -> str:
    if len(base64url_decode(text)) != _HASH_BYTES:
        raise InvalidRequest("bad_notice", "The hash of the notice is invalid.")
    return text
