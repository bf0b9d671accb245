"""Trigger: Firestore document written, oauth2_clients/{client}/secrets/{version}.

Publishes what its state requires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.on_secret_version import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def on_secret_version(request: flask.Request) -> flask.Response:
    """Take one event of the store."""
    return ROUTES.answer(request)
