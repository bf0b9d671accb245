"""CloudEvents in: a written document or a published message calls a function. A response that is not 2xx means "retry".

| result | response | the delivering service |
|---|---|---|
| done, or nothing to do | 200 | is done with the event |
| a refusal that every delivery would meet | 200 `dropped`, and a log line that is counted | is done with the event |
| `Unavailable`, `RateLimited`, a backend that does not answer | 429, 503 | delivers again, with back-off |
| anything else: a bug, a damaged store | 500 | delivers again, and at last moves it to the dead letters |

functions-framework's own event signature echoes the headers and body of a malformed event. This module never does.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest, RateLimited, Refusal, Unavailable
from keyturn.domain.request_fields import Fields
from keyturn.entry.http.requests import body_of
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import flask

_log = logging.getLogger("keyturn")

RETRIED = (Unavailable, RateLimited)
"""Refusals that a later delivery may not meet."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One delivery: the CloudEvent's context attributes, and its data as received."""

    attributes: Mapping[str, str]
    data: bytes

    def document(self, collection: str, subcollection: str) -> tuple[str, str]:
        """Return the two ids of a written document `collection/{id}/subcollection/{id}`."""
        parts = self.attributes.get("document", "").split("/")
        if len(parts) != 4 or (parts[0], parts[2]) != (collection, subcollection):  # noqa: PLR2004 - a path of that form
            raise InvalidRequest("bad_event", "The event is not about a document of this function.")
        return identifier(parts[1]), identifier(parts[3])

    def message(self) -> Fields:
        """Return the attributes of a published message (Pub/Sub's envelope)."""
        return Fields(load_object(self.data)).fields("message").fields("attributes")


def takes_event(
    handle: Callable[[CloudEvent], Mapping[str, object]],
) -> Callable[[flask.Request], Mapping[str, object]]:
    """Make a handler of events a handler of requests: CloudEvents in binary mode (CloudEvents HTTP binding §3.1)."""

    @functools.wraps(handle)
    def handler(request: flask.Request) -> Mapping[str, object]:
        try:
            return handle(_event_of(request))
        except RETRIED:
            raise
        except Refusal as refusal:
            # The reason is one of our constants and holds nothing of the event.
            _log.error("an event was dropped: %s", refusal.reason)
            return {"dropped": refusal.reason}

    return handler


def _event_of(request: flask.Request) -> CloudEvent:
    attributes = {name[3:].lower(): unquote(value) for name, value in request.headers if name.lower().startswith("ce-")}
    # A plain Pub/Sub push has no attributes: its body holds everything.
    if attributes.get("specversion", "1.0") != "1.0":
        raise InvalidRequest("bad_event", "This is no CloudEvent.")
    return CloudEvent(attributes, body_of(request))
