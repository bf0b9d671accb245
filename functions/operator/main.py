"""Trigger: HTTP, guarded by IAM.

The administration that needs no admin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.operator import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def operator(request: flask.Request) -> flask.Response:
    """Answer the operator."""
    return ROUTES.answer(request)
