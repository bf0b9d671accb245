"""Trigger: HTTP.

Admins' signed commands in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.rotate_request import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def rotate_request(request: flask.Request) -> flask.Response:
    """Answer one signed command."""
    return ROUTES.answer(request)
