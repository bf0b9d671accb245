"""Trigger: HTTP.

Evidence about an admin in, a signed proof of their identity out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.admin_proof import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def admin_proof(request: flask.Request) -> flask.Response:
    """Answer one admin."""
    return ROUTES.answer(request)
