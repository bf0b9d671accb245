"""Trigger: HTTP.

What an admin's app reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.status import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def status(request: flask.Request) -> flask.Response:
    """Answer one admin's app."""
    return ROUTES.answer(request)
