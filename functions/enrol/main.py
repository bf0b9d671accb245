"""Trigger: HTTP.

Registers a device, takes its approvals, and lets it join its group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.enrol import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def enrol(request: flask.Request) -> flask.Response:
    """Answer one device."""
    return ROUTES.answer(request)
