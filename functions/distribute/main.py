"""Trigger: Pub/Sub topic secret-distribution.

Creates a rotation's secret, encrypts it to the client's admins, and forgets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.distribute import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def distribute(request: flask.Request) -> flask.Response:
    """Take one published message."""
    return ROUTES.answer(request)
