"""Notices: what `rotate-notify` says (protocol.md §8), and how long a device keeps it.

1. A message can be opened once only, so its notice is kept, sealed, from the moment that it is read.
2. The secret goes as soon as it was both taken (shown, written or handed to a program) and acknowledged: the receipt
   can't be made without it. What is left is a line in the inbox, without the secret.
3. A secret is taken once.
4. The whole record goes when the old version's grace has ended, but not within seven days of its arrival: with a short
   grace, or none, the secret still has to reach the integrator.
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
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

KEPT_AT_LEAST = timedelta(days=7)
_HASH_BYTES = 32
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A received notice; times are Unix milliseconds, None for what has not happened."""

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

    def held_secret(self) -> str:
        """Return the secret; `NoticeError` once it is gone."""
        if self.secret is None:
            raise NoticeError(
                "The secret of this rotation was taken and acknowledged, and is gone from here.",
                "If it got lost, rotate again.",
            )
        return self.secret

    def untaken_secret(self) -> str:
        """Return the secret to hand it over; `NoticeError` if that was done before."""
        if self.taken_at is not None:
            raise NoticeError(
                "The secret of this rotation was taken already, and is handed over once.",
                "If it got lost, rotate again.",
            )
        return self.held_secret()

    def taken(self, now: datetime) -> Notice:
        """Return the notice after its secret was handed over."""
        return _without_needless_secret(replace(self, taken_at=self.taken_at or to_milliseconds(now)))

    def acked(self, now: datetime) -> Notice:
        """Return the notice after the server took its acknowledgement."""
        return _without_needless_secret(replace(self, acked_at=self.acked_at or to_milliseconds(now)))

    def is_over(self, now: datetime) -> bool:
        """Return whether the record may go."""
        kept_until = max(self.grace_until or 0, self.received_at + milliseconds(KEPT_AT_LEAST))
        return to_milliseconds(now) >= kept_until

    def says_the_same(self, other: Notice) -> bool:
        """Return whether two notices are of the same version and secret, as two groups of a client get them."""
        names = ("rotation_id", "client_id", "version_id", "secret_hash", "mac_key_ref")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def to_bytes(self) -> bytes:
        """Return the record; it holds the secret, and is for the sealed home only."""
        return json.dumps({item.name: getattr(self, item.name) for item in fields(self)}).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Notice:
        """Return the notice of a record; `DamagedError` if it is none."""
        try:
            return cls(**load_object(data))  # type: ignore[arg-type]  # the home is sealed: we wrote it
        except (TypeError, InvalidRequest):
            raise DamagedError from None


def parse_notice(plaintext: bytes, *, group: str, epoch: int, sender: str, now: datetime) -> Notice:
    """Return the notice in an application message; `InvalidRequest` if it is none, or not for this group and epoch."""
    content = load_object(plaintext)
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
    if type(value) is not kind:
        raise InvalidRequest("bad_notice", "The notice lacks a field, or one is of the wrong type.")
    return value


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not text:
        raise InvalidRequest("bad_notice", "A field of the notice has characters that it can't have.")
    return text


def _hash(text: str) -> str:
    if len(base64url_decode(text)) != _HASH_BYTES:
        raise InvalidRequest("bad_notice", "The notice's hash is none.")
    return text
