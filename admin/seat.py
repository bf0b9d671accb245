"""A device's seat in one group: its MLS state, how far it has read the group's log, and whose service it trusts.

1. The service's key is learnt once, at joining: it signs the Welcome, and is a member of the group under that key.
2. From then on, only what that key signed for this group is looked at.
3. Only the service may change who is in the group. The members are compared before and after each commit, and a commit
   of anybody else that changes them is refused: the state stays as it was.
4. Only what the service sends is a notice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from admin import answers
from admin.errors import AnotherServiceError, LostStepError, MembershipError, UntrustedMessageError
from admin.events import GROUP_MESSAGE, WELCOME
from admin.home_errors import DamagedError
from admin.notice import Notice, parse_notice
from shared.domain.encodings import base64url_decode, base64url_encode, identifier
from shared.domain.errors import Refusal
from shared.mls import ApplicationReceived, CommitReceived, Group, InvalidState, MlsError
from shared.proofs.nostr import open_event
from shared.proofs.npub import encode_npub
from shared.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.mls import Event, KeyPackageSecrets

_ENROL_AGAIN = "Have this device removed from the group, and enrol it anew with a new invite."


@dataclass(frozen=True, slots=True)
class Incident:
    """Something in a group's log that is not as it should be, and was left out; `index` is its place."""

    group_id: str
    index: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a group; `service` is the service's public key (64 hex digits), `cursor` the last index read."""

    group_id: str
    user: str
    service: str
    cursor: int
    group: Group = field(repr=False)

    @property
    def npubs(self) -> tuple[str, ...]:
        """The members' keys as people read them, without the service's."""
        identities = [member.identity.hex() for member in self.group.members]
        return tuple(encode_npub(identity) for identity in identities if identity != self.service)

    def to_bytes(self) -> bytes:
        """Return the record; it holds the group's keys, and is for the sealed home only."""
        state = base64url_encode(self.group.to_bytes())
        record = {"user": self.user, "service": self.service, "cursor": self.cursor, "state": state}
        return json.dumps(record).encode("ascii")

    @classmethod
    def from_bytes(cls, group_id: str, data: bytes) -> Seat:
        """Return the seat of a record; `DamagedError` if it is none."""
        try:
            record = load_object(data)
            group = Group.from_bytes(base64url_decode(str(record["state"])))
            return cls(group_id, str(record["user"]), str(record["service"]), int(str(record["cursor"])), group)
        except (Refusal, InvalidState, KeyError, ValueError):
            raise DamagedError from None


def take_seat(answer: Mapping[str, object], key_package: KeyPackageSecrets, now: datetime) -> Seat:
    """Return the seat that the answer of `enrol` offers.

    `UntrustedMessageError` if its Welcome is not for this key package and group, or `AnotherServiceError` if whoever
    signed it is no member.
    """
    group_id, event = _group_id(answers.text(answer, "group")), answers.mapping(answer, "event")
    signed_by, tags, message = _opened(event, WELCOME, group_id)
    try:
        group = Group.join(message, key_package, now=now)
    except MlsError:
        raise _untrusted() from None
    if group.group_id != group_id.encode("utf-8"):
        raise _untrusted()
    if signed_by not in {member.identity.hex() for member in group.members}:
        raise AnotherServiceError(
            "Whoever signed the Welcome is no member of the group.", "Check --url, and ask for a new invite."
        )
    return Seat(group_id, answers.text(answer, "user"), signed_by, _index(tags.get("after")), group)


def read_entry(seat: Seat, entry: Mapping[str, object], now: datetime) -> tuple[Seat, Notice | Incident | None]:
    """Return the seat after one entry of the log, and the notice or the incident that it was, if any.

    `UntrustedMessageError`, `MembershipError` or `LostStepError` if the log can't be followed past this entry.
    """
    index = answers.integer(entry, "index")
    if index <= seat.cursor or not seat.group.is_active:
        return seat, None
    signed_by, _, message = _opened(answers.mapping(entry, "event"), GROUP_MESSAGE, seat.group_id)
    if signed_by != seat.service:
        raise AnotherServiceError("The log's entry is signed by another service.", _ENROL_AGAIN)
    moved = replace(seat, cursor=index)
    try:
        group, event = seat.group.receive(message, now=now)
    except MlsError as refused:
        return moved, _unreadable(moved, answers.text(entry, "kind"), refused)
    _check_membership(seat, group, event)
    return replace(moved, group=group), _found(moved, event, now)


def _opened(fields: Mapping[str, object], kind: int, group_id: str) -> tuple[str, dict[str, str], bytes]:
    try:
        event = open_event(fields)
        message = base64url_decode(event.content)
    except Refusal:
        raise _untrusted() from None
    if event.kind != kind or event.tag("h") != group_id or event.tag_count("h") != 1:
        raise _untrusted()
    return event.pubkey, {tag[0]: tag[1] for tag in event.tags if len(tag) > 1}, message


def _untrusted() -> UntrustedMessageError:
    return UntrustedMessageError("The server showed a message that is not signed for this group.", "Check --url.")


def _group_id(text: str) -> str:
    try:
        return identifier(text)  # it will stand in addresses
    except Refusal:
        raise _untrusted() from None


def _index(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit():
        raise _untrusted()
    return int(value)


def _unreadable(seat: Seat, kind: str, refused: MlsError) -> Incident:
    # A notice that does not open is left out, or it would be in the way of every later one. A commit is not: without
    # it nothing later opens, and what is in its way (this machine's clock, say) may pass.
    if kind != "notice":
        sentence = f"A change of the group can't be followed: {refused}"
        raise LostStepError(sentence, _ENROL_AGAIN) from None
    return Incident(seat.group_id, seat.cursor, f"A notice could not be opened: {refused}")


def _roster(group: Group) -> dict[int, bytes]:
    return {member.leaf_index: member.identity for member in group.members}


def _check_membership(seat: Seat, group: Group, event: Event) -> None:
    if not isinstance(event, CommitReceived) or event.committer.identity.hex() == seat.service:
        return
    if event.self_removed or _roster(seat.group) != _roster(group):
        raise MembershipError(
            "A member tried to change who is in the group. Only the service may: the change is refused.",
            "Tell whoever operates the service, before anything is rotated through this group.",
        )


def _found(seat: Seat, event: Event, now: datetime) -> Notice | Incident | None:
    if isinstance(event, CommitReceived) and event.self_removed:
        return Incident(seat.group_id, seat.cursor, "This device was removed from the group.")
    if not isinstance(event, ApplicationReceived):
        return None
    if event.sender.identity.hex() != seat.service:
        return Incident(seat.group_id, seat.cursor, "A member other than the service sent a message: ignored.")
    try:
        return parse_notice(event.plaintext, group=seat.group_id, epoch=event.epoch, sender=seat.service, now=now)
    except Refusal:
        return Incident(seat.group_id, seat.cursor, "The service sent something that is no notice: ignored.")
