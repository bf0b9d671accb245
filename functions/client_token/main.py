"""Door: integrators' credentials in; an access token or a verdict out (protocol.md §10, RFC 6749 §4.4, RFC 7662)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.composition.suite import current
from keyturn.entry.http.oauth import caller, introspection_answer, metadata, source, token_answer
from keyturn.entry.http.routing import Routes, json_answer, later
from keyturn.entry.http.views import verdict_view

if TYPE_CHECKING:
    import flask


def _check(request: flask.Request) -> flask.Response:
    presented = request.headers.get("X-Client-Id", ""), request.headers.get("X-API-Key", "")
    asking = source(request)
    verdict = current().verification.verifier.check(*presented, source=asking, caller=caller(request, asking))
    return json_answer(verdict_view(verdict), 200 if verdict.accepted else 401)


canaries = later("keyturn.entry.handlers.canaries")


def _token(request: flask.Request) -> flask.Response:
    suite = current().verification
    return token_answer(request, suite.verifier, suite.tokens)


def _introspect(request: flask.Request) -> flask.Response:
    suite = current().verification
    return introspection_answer(request, suite.verifier, suite.token_checker)


ROUTES = Routes({
    ("POST", "/token"): _token,
    ("POST", "/check"): _check,
    ("POST", "/canary/challenge"): canaries("challenge"),
    ("POST", "/canary"): canaries("prove"),
    ("POST", "/introspect"): _introspect,
    ("GET", "/.well-known/oauth-authorization-server"): lambda _request: metadata(current().verification.tokens.issuer),
    ("GET", "/.well-known/jwks.json"): lambda _request: current().verification.tokens.jwks(),
})  # fmt: skip


@functions_framework.http
def client_token(request: flask.Request) -> flask.Response:
    """Answer one integrator."""
    return ROUTES.answer(request)
