"""`/check`: a verdict on the credential of a request, for services that ask over HTTP.

The request carries its credential in a header, in any of the ways that the guards of embedded verifiers read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import flask

from keyturn.entry.http.requests import query_parameter, source
from keyturn.entry.http.responses import json_answer
from keyturn.entry.http.views import verdict_view
from keyturn.verifier.middleware.challenges import basic_challenge
from keyturn.verifier.middleware.credentials import Denial
from keyturn.verifier.middleware.response_headers import deprecation_headers, response_headers

if TYPE_CHECKING:
    from keyturn.verifier.middleware.credentials import Guard

_HEADERS: Final = (
    ("authorization", "HTTP_AUTHORIZATION"),
    ("x-api-key", "HTTP_X_API_KEY"),
    ("x-client-id", "HTTP_X_CLIENT_ID"),
    ("user-agent", "HTTP_USER_AGENT"),
)


class _NoContent(flask.Response):
    """A response without content has no type of content either (RFC 9110 §15.3.5)."""

    default_mimetype = None


def verdict_answer(request: flask.Request, guard: Guard) -> flask.Response:
    """Return the verdict as JSON: 200 for an accepted credential, else 401."""
    verdict = guard.check(_headers(request), source=source(request))
    answer = json_answer(verdict_view(verdict), 200 if verdict.accepted else 401)
    if verdict.accepted:
        answer.headers.extend(deprecation_headers(verdict))
    else:
        answer.headers["WWW-Authenticate"] = basic_challenge()  # RFC 9110 §15.5.2
    return answer


def gate_answer(request: flask.Request, guard: Guard) -> flask.Response:
    """Return the verdict in status and headers, for a proxy that asks before it passes a request on.

    nginx (`auth_request`) and Traefik (forward-auth) pass a request on after any 2xx.
    """
    if request.environ.get("QUERY_STRING"):
        guard = _for_audience(guard, query_parameter(request, "audience"))
    decision = guard.decide(_headers(request), source=source(request))
    if isinstance(decision, Denial):
        answer = json_answer({"error": decision.error}, decision.status)
        answer.headers.extend(decision.headers)
        return answer
    return _NoContent(status="204 NO CONTENT", headers=response_headers(decision))


def _for_audience(guard: Guard, audience: str | None) -> Guard:
    """Return the guard of the service with that audience: its tokens are no tokens for other services (RFC 9068 §4)."""
    if audience is None or guard.tokens is None:
        return guard
    return replace(guard, tokens=replace(guard.tokens, audience=audience))


def _headers(request: flask.Request) -> dict[str, str]:
    environ = request.environ
    return {name: environ[key] for name, key in _HEADERS if key in environ}
