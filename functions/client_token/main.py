"""Trigger: HTTP.

Integrators' credentials in, an access token or a verdict out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.client_token import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def client_token(request: flask.Request) -> flask.Response:
    """Answer one integrator."""
    return ROUTES.answer(request)
