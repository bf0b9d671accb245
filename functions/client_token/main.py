"""Door: integrators' credentials in; an access token or a verdict out (protocol.md §10, RFC 6749 §4.4, RFC 7662)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.composition.suite import suite
from keyturn.entry.http.oauth import caller, introspection_answer, metadata, source, token_answer
from keyturn.entry.http.routing import Routes, json_answer, later
from keyturn.entry.http.views import verdict_view

if TYPE_CHECKING:
    import flask


def _check(request: flask.Request) -> flask.Response:
    presented = request.headers.get("X-Client-Id", ""), request.headers.get("X-API-Key", "")
    asking = source(request)
    verdict = suite().verifier.check(*presented, source=asking, caller=caller(request, asking))
    return json_answer(verdict_view(verdict), 200 if verdict.accepted else 401)


canaries = later("keyturn.entry.handlers.canaries")

ROUTES = Routes({
    ("POST", "/token"): lambda request: token_answer(request, suite().verifier, suite().tokens),
    ("POST", "/check"): _check,
    ("POST", "/canary/challenge"): canaries("challenge"),
    ("POST", "/canary"): canaries("prove"),
    ("POST", "/introspect"): lambda request: introspection_answer(request, suite().verifier, suite().token_checker),
    ("GET", "/.well-known/oauth-authorization-server"): lambda _request: metadata(suite().tokens.issuer),
    ("GET", "/.well-known/jwks.json"): lambda _request: suite().tokens.jwks(),
})  # fmt: skip


@functions_framework.http
def client_token(request: flask.Request) -> flask.Response:
    """Answer one integrator."""
    return ROUTES.answer(request)
