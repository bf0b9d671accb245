"""Key refresh: a device replaces its own keys in a group by a path update, so that copied keys become useless.

    catch up ─▶ commit ─▶ SAVE it with the group after it ─▶ send ─▶ read the log: it won, or another commit did

1. The commit is saved before it is sent. A crash at any line leaves the membership unchanged, with a commit that may or
   may not have been sent.
2. Only the log decides. If it has the bytes of this commit, the saved group becomes the state. If it has another
   commit, this one is dropped (log_reading.py). While neither is known, the device sends the same bytes again.
3. Keys older than seven days are replaced when the device catches up, with one attempt for each group. A failure is
   reported, and nothing else waits for it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.api.client import UNANSWERED
from keyturn.device.core.errors import DeviceError, NotEnrolledError, OutOfSyncError, ServerRefusedError
from keyturn.device.core.signed_events import envelope_event
from keyturn.device.groups.catch_up import CatchUp
from keyturn.device.groups.membership import NOT_INVITED, Memberships, PendingUpdate
from keyturn.device.incidents import Incident
from keyturn.domain.encodings import milliseconds, to_milliseconds

if TYPE_CHECKING:
    from keyturn.device.context import DeviceContext
    from keyturn.device.groups.membership import DeviceMembership

KEY_LIFETIME = timedelta(days=7)
_ATTEMPTS = 5
_STALE_EPOCH = "stale_epoch"


class KeyRefresh:
    """Replaces the device's keys in its groups."""

    def __init__(self, context: DeviceContext) -> None:
        self._context = context
        self._catch_up = CatchUp(context)
        self._memberships = Memberships(context.home)

    def refresh(self, group_id: str, attempts: int = _ATTEMPTS) -> DeviceMembership:
        """Replace this device's keys in a group, and return the membership with the new ones.

        `OutOfSyncError` if other commits win each time; `NotEnrolledError` without a usable membership.
        """
        self._catch_up.follow(group_id)
        for _ in range(attempts):
            update = self._prepare(group_id)
            self._post(group_id, update)
            membership = self._catch_up.follow(group_id)
            if _own_key(membership) == _own_key(replace(membership, group=update.after)):
                return membership
            # The server says that the epoch is over, but its log has neither this commit nor another: it was restored
            # from a copy. Only a new membership helps.
            if membership.pending_update is not None:
                return self._catch_up.rejoin(group_id)
        raise OutOfSyncError(
            "Other commits of the group came first each time: the keys are unchanged.", "Try again in a moment."
        )

    def refresh_old_keys(self) -> None:
        """Replace keys that are older than seven days, with one attempt for each group."""
        now = to_milliseconds(self._context.signer.now())
        for membership in self._memberships.all():
            if membership.is_usable and membership.keys_updated_at + milliseconds(KEY_LIFETIME) <= now:
                self._try(membership)

    def _try(self, membership: DeviceMembership) -> None:
        try:
            self.refresh(membership.group_id, attempts=1)
        except DeviceError as error:
            sentence = f"This device's keys are older than a week and could not be replaced: {error}"
            self._context.observe(Incident(membership.group_id, membership.cursor, sentence))

    def _prepare(self, group_id: str) -> PendingUpdate:
        signer = self._context.signer
        with self._context.home.locked():
            membership = self._memberships.usable(group_id)
            if membership is None:
                raise NotEnrolledError("This device is not a member of that group.", NOT_INVITED)
            if membership.pending_update is not None:
                return membership.pending_update
            # Without proposals: a member's commit may only replace its own keys (docs/protocol.md §12).
            commit = membership.group.commit(random=signer.random, now=signer.now(), include_pending=False)
            envelope = envelope_event(signer, group_id, commit.message).to_json()
            update = PendingUpdate(commit.message, envelope, commit.group)
            self._memberships.save(replace(membership, pending_update=update))
        return update

    def _post(self, group_id: str, update: PendingUpdate) -> None:
        try:
            self._context.api.post_envelope(update.envelope)
        except ServerRefusedError as error:
            if error.reason == _STALE_EPOCH:  # another commit won, or this one did earlier: the log shows which
                return
            if error.status not in UNANSWERED:
                self._drop(group_id, update)
            raise

    def _drop(self, group_id: str, update: PendingUpdate) -> None:
        with self._context.home.locked():
            membership = self._memberships.load(group_id)
            pending = membership.pending_update
            # Another command may have prepared a new one meanwhile.
            if pending is not None and pending.message == update.message:
                self._memberships.save(replace(membership, pending_update=None))


def _own_key(membership: DeviceMembership) -> bytes:
    own_index = membership.group.own_leaf_index
    return next(member.encryption_key for member in membership.group.members if member.leaf_index == own_index)
