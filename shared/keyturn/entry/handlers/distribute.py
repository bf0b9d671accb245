"""The function `distribute`: creates a rotation's secret, encrypts it to the client's admins, and forgets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import identifier, rotation_identifier
from keyturn.entry.composition.suite import current
from keyturn.entry.http.cloud_events import CloudEvent, takes_event
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping


@takes_event
def distribute(event: CloudEvent) -> Mapping[str, object]:
    """Distribute the rotation that the message names."""
    message = event.message()
    client_id, rotation_id = identifier(message.text("client_id")), rotation_identifier(message.text("rotation_id"))
    return {"sent": current().distribution.distribute(client_id, rotation_id)}


ROUTES: Final = Routes("distribute", {("POST", "/"): distribute})
