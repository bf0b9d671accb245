"""A function that does nothing: the cost of one hop through server, framework and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    import flask

ROUTES = Routes({("POST", "/"): lambda _request: {}})


@functions_framework.http
def empty_door(request: flask.Request) -> flask.Response:
    """Answer with nothing."""
    return ROUTES.answer(request)
