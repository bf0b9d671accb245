"""Door: signed control events in (protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import Routes, body_of

if TYPE_CHECKING:
    import flask

ROUTES = Routes({("POST", "/"): lambda request: current().commands.accept(body_of(request))})


@functions_framework.http
def rotate_request(request: flask.Request) -> flask.Response:
    """Answer one signed event."""
    return ROUTES.answer(request)
