"""Door: a device joins; an invite's code and a key-package event in, a Welcome out (protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework

from shared.entry.http import Routes, fields_of
from shared.entry.views import event_view
from shared.entry.wiring import suite

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def _join(request: flask.Request) -> Mapping[str, object]:
    fields = fields_of(request)
    event = fields.fields("event").values
    code = fields.optional_text("code")
    joined = suite().enrol(code, event) if code else suite().enrol.again(fields.text("group"), event)
    return {**joined, "event": event_view(joined["event"])}


ROUTES = Routes({("POST", "/"): _join})


@functions_framework.http
def enrol(request: flask.Request) -> flask.Response:
    """Answer one device."""
    return ROUTES.answer(request)
