"""Following the groups: their logs are read in order, and where a device can't follow any more it comes back by itself.

    read on ─┬─▶ at the end of the log
             ├─▶ absent, beyond the log's beginning, a step that can't be followed, a copy put back
             │      ─▶ a fresh key package ─▶ a new seat, told ─▶ read on once more
             ├─▶ not known to the group any more: removed, told once, and not asked again
             └─▶ anything that somebody forged: raised, and the seat stays as it was

No lock is held while the network is waited for. The inbox stays through all of this; but a notice that was sent while
this device had no seat can't be opened by it, and is to be rotated again if nobody else holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, LostStepError, ServerRefusedError
from keyturn.device.groups.incidents import Incident, told
from keyturn.device.groups.log_page import Reading
from keyturn.device.groups.membership import Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.device.api.client import Server
    from keyturn.device.core.notice import Notice
    from keyturn.device.core.signed_events import Signer
    from keyturn.device.groups.join import Enrolment
    from keyturn.device.groups.local_store import Mail
    from keyturn.device.groups.membership import Seat

_ABSENT = "absent"
_NOT_IN_GROUP = "not_in_group"
_WHY = {
    Lost.ASTRAY: "This device could not follow the group any more",
    Lost.ROLLED_BACK: "This device's state was an older copy",
}


def no_progress(_group_id: str, _epoch: int, _last: int) -> None:
    """Show nothing."""


class Following:
    """Reads the logs of all groups; `observe` is told each incident, and who came and went."""

    def __init__(
        self, mail: Mail, enrolment: Enrolment, server: Server, signer: Signer, observe: Callable[[Incident], None]
    ) -> None:
        self._mail = mail
        self._enrolment = enrolment
        self._server = server
        self._signer = signer
        self._observe = observe

    def catch_up(self, progress: Callable[[str, int, int], None] = no_progress) -> list[Notice]:
        """Read what is new in the logs of all groups, and return the notices that came.

        A group whose log can't be followed does not keep the others from being read; what was wrong is raised at the
        end: `ServerRefusedError`, `UntrustedMessageError`, `AnotherServiceError`, `MembershipError`, `LostStepError`.
        `progress` is told group, epoch and the last epoch while a long log is read.
        """
        seats = [seat for seat in self._mail.seats() if seat.lost is not Lost.REMOVED]
        readings = [self._follow(seat, progress) for seat in seats]
        self._mail.tidy()
        for reading in readings:
            self._tell(reading)
        for reading in readings:
            if reading.failure is not None:
                raise reading.failure
        return [notice for reading in readings for notice in reading.notices]

    def follow(self, group_id: str) -> Seat:
        """Read what is new in one group's log, and return the seat after it; raises as `catch_up` does."""
        seat = self._mail.known_seat(group_id)
        if seat.lost is Lost.REMOVED:
            return seat
        reading = self._follow(seat, no_progress)
        self._tell(reading)
        if reading.failure is not None:
            raise reading.failure
        return reading.seat

    def come_back(self, group_id: str, lost: Lost = Lost.ASTRAY) -> Seat:
        """Take a new seat in a group with a fresh key package, and say so; `NotEnrolledError` if it never had one."""
        self._mail.known_seat(group_id)
        seat = self._mail.give_up(group_id, lost)
        reading = self._returned(Reading(seat), None)
        self._tell(reading)
        if reading.failure is not None:
            raise reading.failure
        return reading.seat

    # --- reading -----------------------------------------------------------------------------------------------------

    def _follow(self, seat: Seat, progress: Callable[[str, int, int], None]) -> Reading:
        reading = self._read(seat, progress)
        astray = isinstance(reading.failure, LostStepError) or _reason(reading.failure) in {_ABSENT, _NOT_IN_GROUP}
        if not (astray or reading.seat.wants_return):
            return reading
        returned = self._returned(reading, reading.failure)
        if returned.failure is not None or not returned.seat.is_usable:
            return returned
        return returned.followed_by(self._read(returned.seat, progress))

    def _read(self, seat: Seat, progress: Callable[[str, int, int], None]) -> Reading:
        reading, last = Reading(seat), 0
        while reading.seat.group.is_active:
            cursor = reading.seat.cursor
            try:
                page = self._server.messages(self._signer, seat.group_id, cursor)
                entries = answers.mappings(page, "messages")
            except DeviceError as stopped:  # of this group, and perhaps of no other; what was read before is told
                reading.failure = stopped
                return reading
            reading = reading.followed_by(self._mail.take_in(seat.group_id, entries))
            if page.get("next") is None or reading.failure is not None or reading.seat.cursor <= cursor:
                return reading
            last = last or self._last_epoch(seat.group_id)
            progress(seat.group_id, reading.seat.group.epoch, last)
        return reading

    def _returned(self, reading: Reading, failure: DeviceError | None) -> Reading:
        """Come back after a reading; what stopped it stands if the server does not let the device."""
        group_id, lost = reading.seat.group_id, reading.seat.lost or Lost.ASTRAY
        try:
            seat = self._enrolment.again(group_id)
        except DeviceError as stopped:
            if _reason(stopped) == _NOT_IN_GROUP:
                return self._removed(reading)
            reading.failure = failure or stopped
            return reading
        sentence = f"{_WHY[lost]}: it came back with new keys, and can't open what was sent meanwhile."
        return reading.followed_by(Reading(seat, incidents=[Incident(group_id, seat.cursor, sentence)]))

    def _removed(self, reading: Reading) -> Reading:
        seat = self._mail.give_up(reading.seat.group_id, Lost.REMOVED)
        incident = Incident(seat.group_id, seat.cursor, "This device was removed from the group.")
        return reading.followed_by(Reading(seat, incidents=[incident]))

    # --- telling -----------------------------------------------------------------------------------------------------

    def _tell(self, reading: Reading) -> None:
        for incident in reading.incidents:
            self._observe(incident)
        if reading.changes:
            for news in told(reading.changes, self._users(reading.seat.group_id)):
                self._observe(news)

    def _users(self, group_id: str) -> Mapping[str, str]:
        try:
            view = self._server.group(self._signer, group_id)
            people = answers.mappings(view, "members") + answers.mappings(view, "absent")
            return {answers.text(item, "npub"): answers.text(item, "user") for item in people}
        except DeviceError:  # the names are the server's word only: the keys are told without them
            return {}

    def _last_epoch(self, group_id: str) -> int:
        try:
            return answers.integer(self._server.group(self._signer, group_id), "epoch")
        except DeviceError:  # how far it is, is shown; that it goes on does not depend on it
            return 0


def _reason(failure: DeviceError | None) -> str:
    return failure.reason if isinstance(failure, ServerRefusedError) else ""
