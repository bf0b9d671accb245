"""Dead letters: events that failed on their last attempt. They are kept until they are delivered again.

Delivering them again is always safe: functions act on the state that they read, and the event keeps its id.
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

LIMIT = 1000
_COLUMNS = ("EVENT", "FUNCTION", "SUBJECT", "SINCE", "ATTEMPTS", "LAST REASON")


def dead_letters(folder: Path) -> Sequence[OutboxEvent]:
    """Return the oldest dead letters of a data folder, at most LIMIT. `LocalError` if the folder cannot be used."""
    return outbox_of(open_folder(folder)).dead_letters(LIMIT)


def replay(folder: Path, event_id: str | None, *, every: bool) -> int:
    """Make one dead letter, or all of them, due again and return their number.

    `UsageError` unless either an id or `every` is given.
    """
    if (event_id is None) == (not every):
        raise UsageError("Give either one EVENT_ID or --all.", "`keyturn dead-letters list` shows the ids.")
    count = outbox_of(open_folder(folder)).replay(event_id)
    if event_id is not None and count == 0:
        raise LocalError("There is no dead letter with that id.", "`keyturn dead-letters list` shows the ids.")
    return count


def show(events: Sequence[OutboxEvent], *, json: bool) -> None:
    """Print identifiers and failure reasons of dead letters, nothing of their content."""
    if json:
        print_json({"dead_letters": [_fields(event) for event in events]})
        return
    rows = [tuple(_row(event).values()) for event in events]
    print_table(_COLUMNS, rows, empty="No dead letters: all events were delivered or will be retried.")


def _fields(event: OutboxEvent) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "door": event.function,  # the name in the JSON output stays, as programs read it
        "subject": event.subject,
        "published_at": to_milliseconds(event.published_at),
        "attempts": event.attempts,
        "reason": event.reason,
    }


def _row(event: OutboxEvent) -> dict[str, object]:
    fields = _fields(event)
    return {**fields, "published_at": moment(fields["published_at"])}
