"""Reading a group's log: each entry is checked, decrypted and applied to the membership.

The functions are pure, except `read_into_home`. So group state, cursor and notices are saved as one change.

1. Only messages that the service's key signed for this group are processed.
2. Entries come in order and without a gap. An entry without its message (`gone`) keeps its index.
3. The members' changes in a commit are checked before the commit is accepted (commit_checks.py).
4. Only application messages from the service are notices.
5. The device recognises its own commit by its bytes, and takes the group state that it saved before it sent the commit.
   If the log has another commit for that epoch, the other one won, and the own commit is dropped (RFC 9420 §14).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.core.errors import AnotherServiceError, DeviceError, OutOfSyncError
from keyturn.device.core.signed_events import GROUP_MESSAGE
from keyturn.device.groups.commit_checks import check_commit
from keyturn.device.groups.inbox import INBOX, Inbox, Notice, parse_notice
from keyturn.device.groups.membership import DeviceMembership, Memberships, changes_of, open_group_event
from keyturn.device.incidents import Incident, MemberChange
from keyturn.domain.errors import Refusal
from keyturn.mls import ApplicationReceived, CommitReceived, MlsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from keyturn.device.home.home import Home
    from keyturn.device.home.sealed_files import RecordKey
    from keyturn.mls import Group

LogItem = Notice | Incident | MemberChange

_GONE = "gone"
_NOTICE = "notice"
_REJOIN = "Bring this device back with new keys: `keyturn device rejoin`."


@dataclass(slots=True)
class ReadResult:
    """The result of reading entries: the membership after them, what they contained, and what stopped the reading."""

    membership: DeviceMembership
    notices: list[Notice] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    changes: list[MemberChange] = field(default_factory=list)
    failure: DeviceError | None = None

    def followed_by(self, later: ReadResult) -> ReadResult:
        """Return both results as one."""
        return ReadResult(
            later.membership,
            self.notices + later.notices,
            self.incidents + later.incidents,
            self.changes + later.changes,
            later.failure,
        )


def read_into_home(
    home: Home, group_id: str, entries: Sequence[Mapping[str, object]], now: Callable[[], datetime]
) -> ReadResult:
    """Read entries of a group's log, and save membership and notices as one change."""
    with home.locked():
        # Loaded under the lock: another command may have read on while the page was on its way.
        membership = Memberships(home).load(group_id)
        result = read_entries(membership, entries, Inbox(home, now).find, now())
        changes: dict[RecordKey, bytes | None] = {
            (INBOX, notice.rotation_id): notice.to_bytes() for notice in result.notices
        }
        if result.membership is not membership:
            changes |= changes_of(result.membership)
        if changes:
            home.save_all(changes)
    return result


def read_entries(
    membership: DeviceMembership,
    entries: Iterable[Mapping[str, object]],
    find_notice: Callable[[str], Notice | None],
    now: datetime,
) -> ReadResult:
    """Read entries in order. `find_notice` returns the inbox's notice of a rotation.

    If an entry stops the reading, the result has its error and everything before it, which is to be saved.
    """
    result = ReadResult(membership)
    try:
        for entry in entries:
            result.membership, items = read_entry(result.membership, entry, now)
            for item in items:
                _add(result, item, find_notice)
    except DeviceError as error:
        result.failure = error
    return result


def read_entry(
    membership: DeviceMembership, entry: Mapping[str, object], now: datetime
) -> tuple[DeviceMembership, Sequence[LogItem]]:
    """Return the membership after one entry of the log, and the entry's content.

    `UntrustedMessageError`, `AnotherServiceError`, `MembershipError` or `OutOfSyncError` if the log can't be followed
    past this entry.
    """
    index, kind = response_fields.integer(entry, "index"), response_fields.text(entry, "kind")
    # Another command, or a relay, may have read the entry already. And a removed member can decrypt nothing further.
    if index <= membership.cursor or not membership.group.is_active:
        return membership, ()
    if index != membership.cursor + 1:
        raise OutOfSyncError("The log no longer has all entries that this device has not read.", _REJOIN)
    at_entry = replace(membership, cursor=index)
    if kind == _GONE:
        return at_entry, ()
    message = _message(membership, entry)
    update = membership.pending_update
    if update and message == update.message:
        return at_entry.after_update(update, now), ()
    return _receive(at_entry, message, entry, now)


def _message(membership: DeviceMembership, entry: Mapping[str, object]) -> bytes:
    event = response_fields.mapping(entry, "event")
    signer, _, message = open_group_event(event, GROUP_MESSAGE, membership.group_id)
    if signer != membership.service:
        raise AnotherServiceError("Another service has signed an entry of the log.", "Check --url.")
    return message


def _receive(
    membership: DeviceMembership, message: bytes, entry: Mapping[str, object], now: datetime
) -> tuple[DeviceMembership, Sequence[LogItem]]:
    try:
        group, event = membership.group.receive(message, now=now)
    except MlsError as error:
        return membership, (_unreadable(membership, response_fields.text(entry, "kind"), error),)
    if isinstance(event, CommitReceived):
        items = _commit_items(membership, group, event, entry)
        return replace(membership, group=group, pending_update=None), items
    after = replace(membership, group=group)
    return after, (_application_item(membership, event, now),) if isinstance(event, ApplicationReceived) else ()


def _commit_items(
    membership: DeviceMembership, after: Group, commit: CommitReceived, entry: Mapping[str, object]
) -> Sequence[LogItem]:
    group_id, index = membership.group_id, membership.cursor
    check_commit(commit, membership.group, after, service=membership.service, key_package=entry.get("joined"))
    # Nothing else in the commit matters to a device that is no longer in the group.
    if commit.self_removed:
        return (Incident(group_id, index, "The service removed this device from the group."),)
    removed = [MemberChange(group_id, index, member.identity.hex(), joined=False) for member in commit.removed]
    added = [MemberChange(group_id, index, member.identity.hex(), joined=True) for member in commit.added]
    return removed + added


def _unreadable(membership: DeviceMembership, kind: str, error: MlsError) -> Incident:
    # A notice that can't be decrypted is skipped, or it would block every later one. A commit can't be skipped: nothing
    # of a later epoch can be decrypted without it.
    if kind != _NOTICE:
        raise OutOfSyncError(f"A commit of the group can't be processed: {error}", _REJOIN) from None
    return Incident(membership.group_id, membership.cursor, f"A notice could not be decrypted: {error}")


def _application_item(membership: DeviceMembership, event: ApplicationReceived, now: datetime) -> Notice | Incident:
    group_id, service = membership.group_id, membership.service
    if event.sender.identity.hex() != service:
        return Incident(group_id, membership.cursor, "A member other than the service sent a message: ignored.")
    try:
        return parse_notice(event.plaintext, group=group_id, epoch=event.epoch, sender=service, now=now)
    except Refusal:
        return Incident(group_id, membership.cursor, "The service sent a message that is not a notice: ignored.")


# --- the result ------------------------------------------------------------------------------------------------------


def _add(result: ReadResult, item: LogItem, find_notice: Callable[[str], Notice | None]) -> None:
    if isinstance(item, Incident):
        result.incidents.append(item)
    elif isinstance(item, MemberChange):
        result.changes.append(item)
    else:
        _add_notice(result, item, find_notice(item.rotation_id) or _in_result(result, item.rotation_id))


def _add_notice(result: ReadResult, notice: Notice, earlier: Notice | None) -> None:
    # Two groups of a client receive the same notice. A different one is never stored: a rotation makes at most one
    # version (docs/protocol.md §4), and the first notice is the one that others may have acknowledged.
    if earlier is None:
        result.notices.append(notice)
    elif not earlier.agrees_with(notice):
        sentence = "A second notice of a rotation differs from the first: ignored."
        result.incidents.append(Incident(result.membership.group_id, result.membership.cursor, sentence))


def _in_result(result: ReadResult, rotation_id: str) -> Notice | None:
    return next((notice for notice in result.notices if notice.rotation_id == rotation_id), None)
