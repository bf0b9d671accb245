"""Door: a rotation's secret is to be born, encrypted to the client's admins, and forgotten (protocol.md §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.domain.encodings import identifier, rotation_identifier
from keyturn.entry.composition.suite import current
from keyturn.entry.http.cloud_events import Delivered, woken

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def _asked(delivered: Delivered) -> Mapping[str, object]:
    message = delivered.message()
    client_id, rotation_id = identifier(message.text("client_id")), rotation_identifier(message.text("rotation_id"))
    return {"sent": current().distribution.distribute(client_id, rotation_id)}


ROUTES = woken(_asked)


@functions_framework.http
def distribute(request: flask.Request) -> flask.Response:
    """Take one published message."""
    return ROUTES.answer(request)
