"""The device's mail as its home keeps it: its seats, with the logs as far as they were read, and the notices that came.

Nothing here waits for a network: what came is applied, in order and once, to what the home holds then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.core.errors import NotEnrolledError, NoticeError
from keyturn.device.core.notice import Notice
from keyturn.device.groups.log_page import Reading, read_page
from keyturn.device.groups.membership import Lost, Seat
from keyturn.domain.encodings import rotation_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from keyturn.device.home.home import Home
    from keyturn.device.home.state import Key

GROUP = "group"
INBOX = "inbox"
NOT_INVITED = "Have it invited: `keyturn device invite`, then `device join`."


class Mail:
    """Seats and notices in an opened home; `now` is this machine's clock."""

    def __init__(self, home: Home, now: Callable[[], datetime]) -> None:
        self._home = home
        self._now = now

    # --- seats -------------------------------------------------------------------------------------------------------

    def seats(self) -> list[Seat]:
        """Return the device's seats, by group; of groups that it was removed from, too."""
        return [self.seat(group_id) for group_id in self._home.ids(GROUP)]

    def seat(self, group_id: str) -> Seat:
        """Return the seat in a group; `DamagedError` if there is none."""
        return Seat.from_bytes(group_id, self._home.load(GROUP, group_id) or b"")

    def known_seat(self, group_id: str) -> Seat:
        """Return the seat in a group; `NotEnrolledError` if this device never had one."""
        if group_id not in self._home.ids(GROUP):
            raise NotEnrolledError("This device has no seat in that group.", NOT_INVITED)
        return self.seat(group_id)

    def usable_seat(self, group_id: str) -> Seat | None:
        """Return the seat in a group if this device may send from it."""
        return next((seat for seat in self.seats() if seat.group_id == group_id and seat.is_usable), None)

    def give_up(self, group_id: str, lost: Lost) -> Seat:
        """Note that a seat can't be used any more."""
        with self._home.locked():
            seat = self.seat(group_id).given_up(lost)
            self._home.save(GROUP, group_id, seat.to_bytes())
        return seat

    def take_in(self, group_id: str, entries: Sequence[Mapping[str, object]]) -> Reading:
        """Read entries of a group's log into the home; what they came to."""
        with self._home.locked():
            seat = self.seat(group_id)
            reading = read_page(seat, entries, self.held, self._now())
            changes: dict[Key, bytes | None] = {
                (INBOX, notice.rotation_id): notice.to_bytes() for notice in reading.notices
            }
            if reading.seat is not seat:
                changes[GROUP, group_id] = reading.seat.to_bytes()
            if changes:
                self._home.save_all(changes)
        return reading

    # --- the inbox ---------------------------------------------------------------------------------------------------

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

    def held(self, rotation_id: str) -> Notice | None:
        """Return the notice of a rotation, None if the inbox has none; `InvalidRequest` if that is no rotation id."""
        record = self._home.load(INBOX, rotation_identifier(rotation_id))
        return None if record is None else Notice.from_bytes(record)

    def mark_taken(self, rotation_id: str) -> Notice:
        """Note that a secret was handed over: it will not be again, and goes once it is acknowledged, too."""
        with self._home.locked():
            notice = self.notice(rotation_id).taken(self._now())
            self._home.save(INBOX, rotation_id, notice.to_bytes())
        return notice

    def mark_acked(self, rotation_id: str) -> None:
        """Note that the server has an acknowledgement."""
        with self._home.locked():
            self._home.save_all(self.acked(rotation_id))

    def acked(self, rotation_id: str) -> dict[Key, bytes]:
        """Return what is to be saved once the server has an acknowledgement; to be called with the home locked."""
        return {(INBOX, rotation_id): self.notice(rotation_id).acked(self._now()).to_bytes()}

    def tidy(self) -> None:
        """Let go of what is over: notices, and the keys of past epochs (forward secrecy wants them gone)."""
        now = self._now()
        with self._home.locked():
            changes: dict[Key, bytes | None] = {
                (INBOX, notice.rotation_id): None for notice in self.inbox() if notice.is_over(now)
            }
            changes |= {(GROUP, seat.group_id): record for seat in self.seats() if (record := _aged(seat, now))}
            if changes:
                self._home.save_all(changes)


def _aged(seat: Seat, now: datetime) -> bytes | None:
    aged = replace(seat, group=seat.group.expire(now)).to_bytes()
    return None if aged == seat.to_bytes() else aged
