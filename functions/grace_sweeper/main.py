"""Trigger: Cloud Scheduler.

Promotes, expires and retires everything that is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers.grace_sweeper import ROUTES

if TYPE_CHECKING:
    import flask


@functions_framework.http
def grace_sweeper(request: flask.Request) -> flask.Response:
    """Sweep once."""
    return ROUTES.answer(request)
