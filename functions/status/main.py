"""Door: what an admin's app reads; for members and invitees, by NIP-98."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.composition.suite import current
from keyturn.entry.http import views
from keyturn.entry.http.routing import Routes, argument, caller_of, later

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def _messages(request: flask.Request, group_id: str) -> Mapping[str, object]:
    after = argument(request, "after") or "0"
    reader = current().status
    return views.messages_view(reader.messages(caller_of(request), group_id, after), reader.page)


ROUTES = Routes({
    ("GET", "/openapi.json"): later("keyturn.entry.openapi.answer")("described"),
    ("GET", "/rotations/<key>"): lambda r, key: views.rotation_view(current().status.rotation(caller_of(r), key)),
    ("GET", "/clients/<key>"): lambda r, key: views.client_view(current().status.client(caller_of(r), key)),
    ("GET", "/clients/<key>/cutover"): later("keyturn.entry.handlers.cutover")("for_member"),
    ("GET", "/groups/<key>"): lambda r, key: views.group_view(*current().status.group(caller_of(r), key)),
    ("GET", "/groups/<group_id>/messages"): _messages,
    ("GET", "/welcomes/<key>"): lambda r, key: {"event": views.event_view(current().status.welcome(caller_of(r), key))},
})  # fmt: skip


@functions_framework.http
def status(request: flask.Request) -> flask.Response:
    """Answer one admin's app."""
    return ROUTES.answer(request)
