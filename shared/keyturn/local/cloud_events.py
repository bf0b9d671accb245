"""Rows of the outbox as CloudEvents 1.0 over HTTP in binary mode, as Eventarc sends them to functions.

CloudEvents HTTP binding 1.0.2 §3.1: attributes are `ce-` headers, percent-encoded unless they are printable ASCII
(§3.1.3.2). The body is the data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.adapters.sqlite.outbox import OutboxEvent

# `"` and `%` must be encoded although they are printable (§3.1.3.2).
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def request_of(event: OutboxEvent) -> tuple[Mapping[str, str], bytes]:
    """Return headers and body of the request that delivers `event`."""
    attributes, data = _topic(event) if event.kind == "topic" else _document(event)
    time = event.published_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    common = {"specversion": "1.0", "id": event.event_id, "time": time}
    headers = {f"ce-{name}": quote(value, safe=_PRINTABLE) for name, value in {**common, **attributes}.items()}
    return headers | {"content-type": "application/json"}, json.dumps(data).encode()


def _document(event: OutboxEvent) -> tuple[Mapping[str, str], Mapping[str, object]]:
    attributes = {
        "type": "google.cloud.firestore.document.v1.written",
        "source": "//firestore.googleapis.com/projects/local/databases/(default)",
        "subject": f"documents/{event.subject}",
        "document": event.subject,
    }
    return attributes, {}


def _topic(event: OutboxEvent) -> tuple[Mapping[str, str], Mapping[str, object]]:
    attributes = {
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": f"//pubsub.googleapis.com/projects/local/topics/{event.subject}",
    }
    message = {
        "attributes": dict(event.attributes),
        "messageId": event.event_id,
        "publishTime": event.published_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }
    return attributes, {"message": message, "subscription": f"projects/local/subscriptions/{event.function}"}
