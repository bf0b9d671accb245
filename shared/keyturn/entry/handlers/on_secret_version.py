"""The function `on_secret_version`: publishes the message that the state of a written secret version requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.entry.composition.suite import current
from keyturn.entry.http.cloud_events import CloudEvent, takes_event
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping


@takes_event
def publish(event: CloudEvent) -> Mapping[str, object]:
    """Publish the rotation of the written version, if it is to be distributed."""
    return {"published": current().distribution.publish(*event.document("oauth2_clients", "secrets"))}


ROUTES: Final = Routes("on_secret_version", {("POST", "/"): publish})
