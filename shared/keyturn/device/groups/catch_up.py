"""Catching up: the device reads the logs of its groups in order, and rejoins a group that it can no longer follow.

    read on ─┬─▶ end of the log
             ├─▶ the device was absent, the log was truncated, a commit can't be processed, an older copy was restored
             │      ─▶ fresh key package ─▶ new membership, reported ─▶ read on once more
             ├─▶ the group no longer knows the device: removed, reported once, and not asked again
             └─▶ a forged message: raised, and the membership stays as it was

No lock is held while the device waits for the network. The inbox stays in all cases. But a notice that was sent while
the device was not a member can't be decrypted by it. If no other device has it, the client must be rotated again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.core.errors import DeviceError, OutOfSyncError, ServerRefusedError
from keyturn.device.groups.inbox import Inbox
from keyturn.device.groups.join import Enrolment
from keyturn.device.groups.log_reading import ReadResult, read_into_home
from keyturn.device.groups.membership import LostReason, Memberships
from keyturn.device.incidents import Incident, describe_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keyturn.device.context import DeviceContext
    from keyturn.device.groups.inbox import Notice
    from keyturn.device.groups.membership import DeviceMembership

_ABSENT = "absent"
_NOT_IN_GROUP = "not_in_group"
_CAUSES = {
    LostReason.OUT_OF_SYNC: "This device could not follow the group",
    LostReason.ROLLED_BACK: "This device's state was an older copy",
}


def no_progress(_group_id: str, _epoch: int, _last: int) -> None:
    """Show no progress."""


class CatchUp:
    """Reads the logs of all groups, and reports incidents and changes of the members to the user."""

    def __init__(self, context: DeviceContext) -> None:
        self._context = context
        self._memberships = Memberships(context.home)

    def catch_up(self, progress: Callable[[str, int, int], None] = no_progress) -> list[Notice]:
        """Read the new entries in the logs of all groups, and return the new notices.

        If the log of one group can't be followed, the others are still read. Its error is raised at the end:
        `ServerRefusedError`, `UntrustedMessageError`, `AnotherServiceError`, `MembershipError`, `OutOfSyncError`.
        `progress` gets group, epoch and the last epoch while a long log is read.
        """
        memberships = [item for item in self._memberships.all() if item.lost_reason is not LostReason.REMOVED]
        results = [self._follow(membership, progress) for membership in memberships]
        self._delete_expired()
        # All reports before any error: the user must learn of every group, not only of the first one that fails.
        for result in results:
            self.report(result)
        for result in results:
            if result.failure is not None:
                raise result.failure
        return [notice for result in results for notice in result.notices]

    def follow(self, group_id: str) -> DeviceMembership:
        """Read the new entries of one group's log, and return the membership after them. Raises as `catch_up` does."""
        membership = self._memberships.require(group_id)
        if membership.lost_reason is LostReason.REMOVED:
            return membership
        return self._finish(self._follow(membership, no_progress))

    def rejoin(self, group_id: str, reason: LostReason = LostReason.OUT_OF_SYNC) -> DeviceMembership:
        """Join a group again with a fresh key package, and report it; `NotEnrolledError` if the device never joined."""
        self._memberships.require(group_id)
        # Saved first: if the process dies before the new membership is there, the next run rejoins.
        membership = self._memberships.mark_lost(group_id, reason)
        return self._finish(self._rejoin(ReadResult(membership), None))

    def take_entries(self, group_id: str, entries: Sequence[Mapping[str, object]]) -> list[Notice]:
        """Read entries that came from elsewhere than the server, such as a relay. Raises as `catch_up` does."""
        result = read_into_home(self._context.home, group_id, entries, self._context.signer.now)
        # Without user names: only the server has them, and this must work without it.
        for incident in (*result.incidents, *describe_changes(result.changes, {})):
            self._context.observe(incident)
        if result.failure is not None:
            raise result.failure
        return result.notices

    def report(self, result: ReadResult) -> None:
        """Report the incidents and changes of a result to the user."""
        for incident in result.incidents:
            self._context.observe(incident)
        if result.changes:
            for news in describe_changes(result.changes, self._users(result.membership.group_id)):
                self._context.observe(news)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _finish(self, result: ReadResult) -> DeviceMembership:
        self.report(result)
        if result.failure is not None:
            raise result.failure
        return result.membership

    def _follow(self, membership: DeviceMembership, progress: Callable[[str, int, int], None]) -> ReadResult:
        result = self._read(membership, progress)
        is_lost = isinstance(result.failure, OutOfSyncError) or _reason(result.failure) in {_ABSENT, _NOT_IN_GROUP}
        if not (is_lost or result.membership.needs_rejoin):
            return result
        rejoined = self._rejoin(result, result.failure)
        if rejoined.failure is not None or not rejoined.membership.is_usable:
            return rejoined
        return rejoined.followed_by(self._read(rejoined.membership, progress))

    def _read(self, membership: DeviceMembership, progress: Callable[[str, int, int], None]) -> ReadResult:
        context, group_id = self._context, membership.group_id
        result, last_epoch = ReadResult(membership), 0
        while result.membership.group.is_active:
            cursor = result.membership.cursor
            try:
                page = context.api.messages(context.signer, group_id, cursor)
                entries = response_fields.mappings(page, "messages")
            except DeviceError as error:  # it concerns this group, and perhaps no other: earlier pages are reported
                result.failure = error
                return result
            result = result.followed_by(read_into_home(context.home, group_id, entries, context.signer.now))
            # A page that does not advance ends the reading too, or a faulty server could keep the device busy forever.
            if page.get("next") is None or result.failure is not None or result.membership.cursor <= cursor:
                return result
            last_epoch = last_epoch or self._last_epoch(group_id)
            progress(group_id, result.membership.group.epoch, last_epoch)
        return result

    def _rejoin(self, result: ReadResult, failure: DeviceError | None) -> ReadResult:
        """Rejoin after a reading. If the server refuses that, the error that stopped the reading remains."""
        group_id, reason = result.membership.group_id, result.membership.lost_reason or LostReason.OUT_OF_SYNC
        try:
            membership = Enrolment(self._context).rejoin(group_id)
        except DeviceError as error:
            if _reason(error) == _NOT_IN_GROUP:
                return self._removed(result)
            result.failure = failure or error
            return result
        sentence = f"{_CAUSES[reason]}: it came back with new keys, and can't decrypt notices from before that."
        return result.followed_by(ReadResult(membership, incidents=[Incident(group_id, membership.cursor, sentence)]))

    def _removed(self, result: ReadResult) -> ReadResult:
        membership = self._memberships.mark_lost(result.membership.group_id, LostReason.REMOVED)
        incident = Incident(membership.group_id, membership.cursor, "This device was removed from the group.")
        return result.followed_by(ReadResult(membership, incidents=[incident]))

    def _delete_expired(self) -> None:
        home, now = self._context.home, self._context.signer.now
        with home.locked():
            changes = Inbox(home, now).changes_of_expiry() | self._memberships.changes_of_expiry(now())
            if changes:
                home.save_all(changes)

    def _users(self, group_id: str) -> Mapping[str, str]:
        try:
            view = self._context.api.group(self._context.signer, group_id)
            people = response_fields.mappings(view, "members") + response_fields.mappings(view, "absent")
            return {response_fields.text(item, "npub"): response_fields.text(item, "user") for item in people}
        except DeviceError:  # names are for display only, and keys are enough for that
            return {}

    def _last_epoch(self, group_id: str) -> int:
        try:
            return response_fields.integer(self._context.api.group(self._context.signer, group_id), "epoch")
        except DeviceError:  # only the display of progress needs it
            return 0


def _reason(failure: DeviceError | None) -> str:
    return failure.reason if isinstance(failure, ServerRefusedError) else ""
