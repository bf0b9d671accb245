"""Door: evidence of who, device, presence and possession in; an attested admin token out (protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers import admin_proof as requests
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    import flask

ROUTES = Routes({
    ("POST", "/challenge"): requests.challenge,
    ("POST", "/proof"): requests.prove,
    ("GET", "/.well-known/jwks.json"): requests.jwks,
})  # fmt: skip


@functions_framework.http
def admin_proof(request: flask.Request) -> flask.Response:
    """Answer one admin."""
    return ROUTES.answer(request)
