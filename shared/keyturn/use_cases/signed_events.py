"""Rules for every signed event: it must be recent, and its answer is stored for a day (docs/protocol.md §7)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import InvalidRequest
from keyturn.ports.store import put

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.store import Data, Document, Write
    from keyturn.proofs.nostr import Event

CREATED_AT_TOLERANCE = timedelta(seconds=120)
ANSWERS_LAST = timedelta(hours=24)
"""How long an answer is stored: the same event gets it again and changes nothing."""


def require_fresh(event: Event, now: datetime) -> None:
    """Refuse an event with a created_at more than 120 seconds from the store's now (docs/protocol.md §6)."""
    if abs(now.timestamp() - event.created_at) > CREATED_AT_TOLERANCE.total_seconds():
        raise InvalidRequest("stale_event", "The event's created_at is not within 120 seconds of now.")


def stored_answer(document: Document) -> Data | None:
    """Return the answer that an event got before; `document` is the one at `paths.event`."""
    return document.mapping("answer") if document.exists else None


def answer_write(document: Document, answer: Data, now: datetime) -> Write:
    """Return the write that stores an answer, in the commit of what the event asked for."""
    return put(document, {"answer": answer, "expires_at": now + ANSWERS_LAST})
