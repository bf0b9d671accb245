"""Dead letters: events that their door did not take, however often it was tried; kept until somebody replays them.

To replay is always safe: doors act on the state that they read, and the event keeps its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.cli.output import moment, print_json, print_table
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import to_milliseconds
from keyturn.local.doctor import open_folder, outbox_of
from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keyturn.adapters.sqlite.outbox import OutboxEvent

SHOWN = 1000
_COLUMNS = ("EVENT", "DOOR", "ABOUT", "SINCE", "ATTEMPTS", "LAST REASON")


def listed(folder: Path) -> Sequence[OutboxEvent]:
    """Return the oldest dead letters of a data folder, at most SHOWN; `LocalError` if it cannot be used."""
    return outbox_of(open_folder(folder)).dead_letters(SHOWN)


def replay(folder: Path, event_id: str | None, *, every: bool) -> int:
    """Make one dead letter, or every one, due again; how many. `UsageError` unless exactly one of both is asked for."""
    if (event_id is None) == (not every):
        raise UsageError("Say which: one EVENT_ID, or --all.", "`keyturn dead-letters list` shows them.")
    count = outbox_of(open_folder(folder)).replay(event_id)
    if event_id is not None and count == 0:
        raise LocalError("There is no dead letter of that id.", "`keyturn dead-letters list` shows them.")
    return count


def show(events: Sequence[OutboxEvent], *, json: bool) -> None:
    """Print dead letters: identifiers and reasons, nothing of what was delivered."""
    if json:
        print_json({"dead_letters": [_fields(event) for event in events]})
        return
    rows = [tuple(_shown(event).values()) for event in events]
    print_table(_COLUMNS, rows, empty="No dead letters: everything was delivered, or still is tried.")


def _fields(event: OutboxEvent) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "door": event.function,
        "subject": event.subject,
        "published_at": to_milliseconds(event.published_at),
        "attempts": event.attempts,
        "reason": event.reason,
    }


def _shown(event: OutboxEvent) -> dict[str, object]:
    fields = _fields(event)
    return {**fields, "published_at": moment(fields["published_at"])}
