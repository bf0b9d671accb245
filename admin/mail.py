"""The device's mail: the groups' logs as far as they were read, and the notices that came, as its home keeps them.

No lock is held while the network is waited for: what came is applied, in order and once, to what the home holds then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin import answers
from admin.errors import NoticeError, ServerRefusedError
from admin.notice import Notice
from admin.reading import Reading, read_page
from admin.seat import Incident, Seat
from shared.domain.encodings import rotation_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from admin.events import Signer
    from admin.home import Home
    from admin.home_state import Key
    from admin.server import Server

GROUP = "group"
INBOX = "inbox"


class Mail:
    """Seats and notices in an opened home; `observe` is told each incident."""

    def __init__(self, home: Home, server: Server, signer: Signer, observe: Callable[[Incident], None]) -> None:
        self._home = home
        self._server = server
        self._signer = signer
        self._observe = observe

    def seats(self) -> list[Seat]:
        """Return the device's seats, by group; of groups that it was removed from, too."""
        return [self.seat(group_id) for group_id in self._home.ids(GROUP)]

    def catch_up(self) -> list[Notice]:
        """Read what is new in the logs of all groups, and return the notices that came.

        A group whose log can't be followed does not keep the others from being read; what was wrong is raised at the
        end: `ServerRefusedError`, `UntrustedMessageError`, `AnotherServiceError`, `MembershipError`, `LostStepError`.
        """
        readings = [reading for seat in self.seats() if seat.group.is_active for reading in self._read_group(seat)]
        self._tidy()
        for incident in (incident for reading in readings for incident in reading.incidents):
            self._observe(incident)
        for reading in readings:
            if reading.failure is not None:
                raise reading.failure
        return [notice for reading in readings for notice in reading.notices]

    def seat(self, group_id: str) -> Seat:
        """Return the seat in a group; `DamagedError` if there is none."""
        return Seat.from_bytes(group_id, self._home.load(GROUP, group_id) or b"")

    def inbox(self) -> list[Notice]:
        """Return the notices that the home holds, the oldest first."""
        notices = [self.notice(rotation_id) for rotation_id in self._home.ids(INBOX)]
        return sorted(notices, key=lambda notice: notice.received_at)

    def notice(self, rotation_id: str) -> Notice:
        """Return the notice of a rotation; `NoticeError` if the inbox has none."""
        notice = self.held(rotation_id)
        if notice is None:
            raise NoticeError(
                "The inbox has no notice of that rotation.",
                "`keyturn inbox` lists what came; it takes a moment after `keyturn rotate`.",
            )
        return notice

    def mark_taken(self, rotation_id: str) -> Notice:
        """Note that a secret was handed over: it will not be again, and goes once it is acknowledged, too."""
        with self._home.locked():
            notice = self.notice(rotation_id).taken(self._signer.now())
            self._home.save(INBOX, rotation_id, notice.to_bytes())
        return notice

    def mark_acked(self, rotation_id: str) -> Notice:
        """Note that the server took an acknowledgement."""
        with self._home.locked():
            notice = self.notice(rotation_id).acked(self._signer.now())
            self._home.save(INBOX, rotation_id, notice.to_bytes())
        return notice

    def held(self, rotation_id: str) -> Notice | None:
        """Return the notice of a rotation, None if the inbox has none; `InvalidRequest` if that is no rotation id."""
        record = self._home.load(INBOX, rotation_identifier(rotation_id))
        return None if record is None else Notice.from_bytes(record)

    def _read_group(self, seat: Seat) -> list[Reading]:
        readings: list[Reading] = []
        cursor, more = seat.cursor, True
        while more:
            try:
                page = self._server.messages(self._signer, seat.group_id, cursor)
            except ServerRefusedError as refused:  # of this group, and perhaps of no other
                return [*readings, Reading(seat, failure=refused)]
            reading = self._take_in(seat.group_id, answers.mappings(page, "messages"))
            readings.append(reading)
            ended = page.get("next") is None or reading.failure is not None or not reading.seat.group.is_active
            cursor, more = reading.seat.cursor, not ended and reading.seat.cursor > cursor
        return readings

    def _take_in(self, group_id: str, entries: Sequence[Mapping[str, object]]) -> Reading:
        now = self._signer.now()
        with self._home.locked():
            seat = self.seat(group_id)
            reading = read_page(seat, entries, self.held, now)
            changes: dict[Key, bytes | None] = {
                (INBOX, notice.rotation_id): notice.to_bytes() for notice in reading.notices
            }
            if reading.seat is not seat:
                changes[GROUP, group_id] = reading.seat.to_bytes()
            if changes:
                self._home.save_all(changes)
        return reading

    def _tidy(self) -> None:
        """Let go of what is over: notices, and the keys of past epochs (forward secrecy wants them gone)."""
        now = self._signer.now()
        with self._home.locked():
            changes: dict[Key, bytes | None] = {
                (INBOX, notice.rotation_id): None for notice in self.inbox() if notice.is_over(now)
            }
            changes |= {(GROUP, seat.group_id): record for seat in self.seats() if (record := _aged(seat, now))}
            if changes:
                self._home.save_all(changes)


def _aged(seat: Seat, now: datetime) -> bytes | None:
    aged = Seat(seat.group_id, seat.user, seat.service, seat.cursor, seat.group.expire(now)).to_bytes()
    return None if aged == seat.to_bytes() else aged
