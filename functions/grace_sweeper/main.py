"""Door: the scheduler's call; promote, expire and retire what is due (protocol.md §4)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    import flask

ROUTES = Routes({("POST", "/"): lambda _request: asdict(current().distribution.sweep())})


@functions_framework.http
def grace_sweeper(request: flask.Request) -> flask.Response:
    """Sweep once."""
    return ROUTES.answer(request)
