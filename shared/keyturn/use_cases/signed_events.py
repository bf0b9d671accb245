"""What every signed event is held to: it is recent, and its answer is stored for a day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.proofs.nostr import Event

CREATED_AT_TOLERANCE = timedelta(seconds=120)
ANSWERS_LAST = timedelta(hours=24)


def require_fresh(event: Event, now: datetime) -> None:
    """Refuse an event whose created_at is not within 120 seconds of the store's now (protocol.md §6)."""
    if abs(now.timestamp() - event.created_at) > CREATED_AT_TOLERANCE.total_seconds():
        raise InvalidRequest("stale_event", "The event's created_at is not within 120 seconds of now.")
