"""CloudEvents in: a door that is woken by a write or a message; anything but 2xx means "again, later".

| what came of it | the answer | so whoever delivers |
|---|---|---|
| done, or nothing to do | 200 | is done with it |
| a refusal that every delivery would get | 200 `dropped`, and a line in the log that is counted | is done with it |
| `Unavailable`, `RateLimited`, a part that does not answer | 429, 503 | delivers again, with back-off |
| anything else: a bug, a damaged store | 500 | delivers again, and in the end puts it with the dead letters |

The framework's own event signature answers a malformed event with its headers and body; this one never does.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest, RateLimited, Refusal, Unavailable
from keyturn.domain.request_fields import Fields
from keyturn.entry.http.routing import Routes, body_of
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import flask

_log = logging.getLogger("keyturn")

LATER = (Unavailable, RateLimited)
"""The refusals that a later delivery may not get."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery: the CloudEvent's context attributes, and its data as it came."""

    attributes: Mapping[str, str]
    data: bytes

    def document(self, collection: str, subcollection: str) -> tuple[str, str]:
        """Return the two ids of a written document `collection/{id}/subcollection/{id}`."""
        parts = self.attributes.get("document", "").split("/")
        if len(parts) != 4 or (parts[0], parts[2]) != (collection, subcollection):  # noqa: PLR2004 - a path of that form
            raise InvalidRequest("bad_event", "The event names no document that this door is for.")
        return identifier(parts[1]), identifier(parts[3])

    def message(self) -> Fields:
        """Return the attributes of a published message (Pub/Sub's envelope)."""
        return Fields(load_object(self.data)).fields("message").fields("attributes")


def woken(handle: Callable[[Delivered], Mapping[str, object]]) -> Routes:
    """Return the routes of a door that takes CloudEvents in binary mode (CloudEvents HTTP binding §3.1)."""

    def take(request: flask.Request) -> Mapping[str, object]:
        attributes = {
            name[3:].lower(): unquote(value) for name, value in request.headers if name.lower().startswith("ce-")
        }
        # A plain Pub/Sub push brings no attributes, and says all in its body.
        if attributes.get("specversion", "1.0") != "1.0":
            raise InvalidRequest("bad_event", "This is no CloudEvent.")
        return handle(Delivered(attributes, body_of(request)))

    return Routes({("POST", "/"): lambda request: _taken(take, request)})


def _taken(take: Callable[[flask.Request], Mapping[str, object]], request: flask.Request) -> Mapping[str, object]:
    try:
        return take(request)
    except LATER:
        raise
    except Refusal as refusal:
        # The reason is a constant of ours; nothing of the event is in it.
        _log.error("an event was dropped: %s", refusal.reason)
        return {"dropped": refusal.reason}
