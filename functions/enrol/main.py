"""Door: a device is registered, approved and joins; an invite's code in, a Welcome out (protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers import enrol as requests
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    import flask

ROUTES = Routes({
    ("POST", "/"): requests.join,
    ("POST", "/registration"): requests.register,
    ("POST", "/registration/confirm"): requests.confirm,
    ("POST", "/approvals"): requests.approve,
})  # fmt: skip


@functions_framework.http
def enrol(request: flask.Request) -> flask.Response:
    """Answer one device."""
    return ROUTES.answer(request)
