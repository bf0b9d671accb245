"""Reading a page of a group's log: pure, so that state, cursor and notices can be saved as one change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.core.errors import DeviceError
from keyturn.device.groups.incidents import Change, Incident
from keyturn.device.groups.log_entry import Found, read_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from keyturn.device.core.notice import Notice
    from keyturn.device.groups.membership import Seat


@dataclass(slots=True)
class Reading:
    """What was read came to: the seat after it, notices, incidents, who came and went, and what stopped it, if any."""

    seat: Seat
    notices: list[Notice] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    failure: DeviceError | None = None

    def followed_by(self, later: Reading) -> Reading:
        """Return both as one."""
        return Reading(
            later.seat,
            self.notices + later.notices,
            self.incidents + later.incidents,
            self.changes + later.changes,
            later.failure,
        )


def read_page(
    seat: Seat, entries: Iterable[Mapping[str, object]], held: Callable[[str], Notice | None], now: datetime
) -> Reading:
    """Read entries in order; `held` returns the notice that the inbox has of a rotation.

    What was read before something stopped it counts, and is there to be saved.
    """
    reading = Reading(seat)
    try:
        for entry in entries:
            reading.seat, found = read_entry(reading.seat, entry, now)
            for item in found:
                _file(reading, item, held)
    except DeviceError as stopped:
        reading.failure = stopped
    return reading


def _file(reading: Reading, found: Found, held: Callable[[str], Notice | None]) -> None:
    if isinstance(found, Incident):
        reading.incidents.append(found)
    elif isinstance(found, Change):
        reading.changes.append(found)
    else:
        _file_notice(reading, found, held(found.rotation_id) or _just_read(reading, found.rotation_id))


def _file_notice(reading: Reading, notice: Notice, known: Notice | None) -> None:
    if known is None:
        reading.notices.append(notice)
    elif not known.says_the_same(notice):  # one rotation makes at most one version (protocol.md §4)
        sentence = "A second notice of a rotation says something else than the first: ignored."
        reading.incidents.append(Incident(reading.seat.group_id, reading.seat.cursor, sentence))


def _just_read(reading: Reading, rotation_id: str) -> Notice | None:
    return next((notice for notice in reading.notices if notice.rotation_id == rotation_id), None)
