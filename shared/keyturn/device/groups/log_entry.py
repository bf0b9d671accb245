"""One entry of a group's log, read: pure, so that state, cursor and notices can be saved as one change.

1. Only what the service's key signed for this group is looked at.
2. Entries come in order and without a gap; one whose message has ended (`gone`) keeps its place.
3. Who changes the group, and how, is checked before the change is taken in (admissions.py).
4. Only what the service sends is a notice.
5. A commit of this device's own is known by its very bytes: the state after it was saved before it was sent. Any other
   commit in its place has won, and it is dropped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import AnotherServiceError, LostStepError
from keyturn.device.core.notice import Notice, parse_notice
from keyturn.device.core.signed_events import GROUP_MESSAGE
from keyturn.device.groups.commit_checks import checked_changes
from keyturn.device.groups.incidents import Change, Incident
from keyturn.device.groups.membership import Seat, opened
from keyturn.domain.errors import Refusal
from keyturn.mls import ApplicationReceived, CommitReceived, MlsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

Found = Notice | Incident | Change

_GONE = "gone"
_NOTICE = "notice"
_REJOIN = "Bring this device back with new keys: `keyturn device rejoin`."


def read_entry(seat: Seat, entry: Mapping[str, object], now: datetime) -> tuple[Seat, Sequence[Found]]:
    """Return the seat after one entry of the log, and what it was: a notice, an incident, who came and went.

    `UntrustedMessageError`, `AnotherServiceError`, `MembershipError` or `LostStepError` if the log can't be followed
    past this entry.
    """
    index, kind = answers.integer(entry, "index"), answers.text(entry, "kind")
    if index <= seat.cursor or not seat.group.is_active:
        return seat, ()
    if index != seat.cursor + 1:
        raise LostStepError("The log no longer has all that this device has not read.", _REJOIN)
    moved = replace(seat, cursor=index)
    if kind == _GONE:
        return moved, ()
    message = _message(seat, entry)
    if seat.renewal and message == seat.renewal.message:
        return moved.adopted(seat.renewal, now), ()
    return _received(moved, message, entry, now)


def _message(seat: Seat, entry: Mapping[str, object]) -> bytes:
    signed_by, _, message = opened(answers.mapping(entry, "event"), GROUP_MESSAGE, seat.group_id)
    if signed_by != seat.service:
        raise AnotherServiceError("The log's entry is signed by another service.", "Check --url.")
    return message


def _received(seat: Seat, message: bytes, entry: Mapping[str, object], now: datetime) -> tuple[Seat, Sequence[Found]]:
    try:
        group, event = seat.group.receive(message, now=now)
    except MlsError as refused:
        return seat, (_unreadable(seat, answers.text(entry, "kind"), refused),)
    if isinstance(event, CommitReceived):
        changes = checked_changes(seat, group, event, entry.get("joined"), seat.cursor)
        own = (Incident(seat.group_id, seat.cursor, "This device's place in the group was taken away."),)
        return replace(seat, group=group, renewal=None), own if event.self_removed else changes
    after = replace(seat, group=group)
    return after, (_said(seat, event, now),) if isinstance(event, ApplicationReceived) else ()


def _unreadable(seat: Seat, kind: str, refused: MlsError) -> Incident:
    # A notice that does not open is left out, or it would be in the way of every later one. A commit is not: without
    # it nothing later opens.
    if kind != _NOTICE:
        raise LostStepError(f"A change of the group can't be followed: {refused}", _REJOIN) from None
    return Incident(seat.group_id, seat.cursor, f"A notice could not be opened: {refused}")


def _said(seat: Seat, event: ApplicationReceived, now: datetime) -> Notice | Incident:
    if event.sender.identity.hex() != seat.service:
        return Incident(seat.group_id, seat.cursor, "A member other than the service sent a message: ignored.")
    try:
        return parse_notice(event.plaintext, group=seat.group_id, epoch=event.epoch, sender=seat.service, now=now)
    except Refusal:
        return Incident(seat.group_id, seat.cursor, "The service sent something that is no notice: ignored.")
