"""Path updates: a device replaces its own keys in a group, so that who once copied them reads no further.

    catch up ─▶ commit ─▶ SAVE it with the state after it ─▶ send ─▶ read the log: adopted, or another commit won

1. Saved before it is sent: a crash at any line leaves the seat as it was, with a commit that may or may not be out.
2. Only the log decides. The commit's own bytes in it: the state after is adopted. Another commit: this one is dropped
   (entries.py). While neither is known, a resend is the same bytes.
3. Keys older than seven days are replaced when the device catches up: one attempt for each group a run, and what keeps
   it from succeeding is told and keeps nothing else from going on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.core.errors import DeviceError, LostStepError, NotEnrolledError, ServerRefusedError
from keyturn.device.core.signed_events import envelope_event
from keyturn.device.groups.incidents import Incident
from keyturn.device.groups.local_store import GROUP, NOT_INVITED
from keyturn.device.groups.membership import Renewal
from keyturn.device.groups.outbox import UNANSWERED
from keyturn.domain.encodings import milliseconds, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.device.api.client import Server
    from keyturn.device.core.signed_events import Signer
    from keyturn.device.groups.catch_up import Following
    from keyturn.device.groups.local_store import Mail
    from keyturn.device.groups.membership import Seat
    from keyturn.device.home.home import Home

KEYS_LAST = timedelta(days=7)
_ATTEMPTS = 5
_STALE_EPOCH = "stale_epoch"


class Renewals:
    """Replaces the device's keys; `observe` is told what keeps the automatic ones from succeeding."""

    def __init__(
        self,
        home: Home,
        server: Server,
        signer: Signer,
        mail: Mail,
        following: Following,
        observe: Callable[[Incident], None],
    ) -> None:
        self._home = home
        self._server = server
        self._signer = signer
        self._mail = mail
        self._following = following
        self._observe = observe

    def refresh(self, group_id: str, attempts: int = _ATTEMPTS) -> Seat:
        """Replace this device's keys in a group and return the seat with the new ones.

        `LostStepError` if other commits win each time, `NotEnrolledError` without a usable seat.
        """
        self._following.follow(group_id)
        for _ in range(attempts):
            renewal = self._prepared(group_id)
            self._post(group_id, renewal)
            seat = self._following.follow(group_id)
            if _own_key(seat) == _own_key(replace(seat, group=renewal.after)):
                return seat
            if seat.renewal is not None:  # neither it nor another commit is in the log, though the epoch is past
                return self._following.come_back(group_id)
        raise LostStepError(
            "Other changes of the group came first each time: the keys are as they were.", "Try again in a moment."
        )

    def refresh_what_is_due(self) -> None:
        """Replace keys that are older than seven days, in each group once at most."""
        now = to_milliseconds(self._signer.now())
        for seat in self._mail.seats():
            if seat.is_usable and seat.renewed_at + milliseconds(KEYS_LAST) <= now:
                self._try(seat)

    def _try(self, seat: Seat) -> None:
        try:
            self.refresh(seat.group_id, attempts=1)
        except DeviceError as stopped:
            sentence = f"This device's keys are older than a week and could not be replaced: {stopped}"
            self._observe(Incident(seat.group_id, seat.cursor, sentence))

    def _prepared(self, group_id: str) -> Renewal:
        with self._home.locked():
            seat = self._mail.usable_seat(group_id)
            if seat is None:
                raise NotEnrolledError("This device has no seat in that group.", NOT_INVITED)
            if seat.renewal is not None:
                return seat.renewal
            made = seat.group.commit(random=self._signer.random, now=self._signer.now(), include_pending=False)
            envelope = envelope_event(self._signer, group_id, made.message).to_json()
            renewal = Renewal(made.message, envelope, made.group)
            self._home.save(GROUP, group_id, replace(seat, renewal=renewal).to_bytes())
        return renewal

    def _post(self, group_id: str, renewal: Renewal) -> None:
        try:
            self._server.post_envelope(renewal.envelope)
        except ServerRefusedError as refused:
            if refused.reason == _STALE_EPOCH:  # another commit won, or this one did long ago: the log says which
                return
            if refused.status not in UNANSWERED:
                self._drop(group_id, renewal)
            raise

    def _drop(self, group_id: str, refused: Renewal) -> None:
        with self._home.locked():
            seat = self._mail.seat(group_id)
            if seat.renewal is not None and seat.renewal.message == refused.message:
                self._home.save(GROUP, group_id, replace(seat, renewal=None).to_bytes())


def _own_key(seat: Seat) -> bytes:
    own = seat.group.own_leaf_index
    return next(member.encryption_key for member in seat.group.members if member.leaf_index == own)
