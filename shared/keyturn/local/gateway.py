"""Gateway: all functions at one address, each at /<function>, served from the route tables that are deployed.

In the cloud, IAM guards the operator's function and those that only the suite itself calls. Here a bearer token does.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.errors import NotFound, Unauthenticated
from keyturn.entry.functions import FUNCTIONS
from keyturn.entry.http.responses import problem_answer
from keyturn.proofs.authorization_header import split_authorization

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GUARDED = frozenset({"operator", "on_secret_version", "distribute", "grace_sweeper"})

_WELL_KNOWN = "/.well-known/"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A WSGI application. Guarded functions require `token` as a bearer token. Paths keep the function's name."""

    functions: Mapping[str, WSGIApplication]
    token: str = field(repr=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"] = _within_function(environ["PATH_INFO"])
        function = path.split("/")[1] if path.startswith("/") else ""
        if function in GUARDED and not self._is_authorized(environ):
            answer = problem_answer(Unauthenticated("operator_token", "This function requires the operator's token."))
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer(environ, start_response)
        if function in GUARDED:
            del environ["HTTP_AUTHORIZATION"]  # as IAM does: a function never sees a valid token
        return self.functions.get(function, _unknown_function)(environ, start_response)

    def _is_authorized(self, environ: WSGIEnvironment) -> bool:
        scheme, presented = split_authorization(environ.get("HTTP_AUTHORIZATION", ""))
        # Constant time: the duration must not reveal how much of a guessed token is right.
        is_right = hmac.compare_digest(presented.encode("utf-8", "replace"), self.token.encode())
        return is_right and scheme == "bearer"


def _within_function(path: str) -> str:
    """Return a path within a function. Its well-known documents stand before its own path, too (RFC 8414 §3.1)."""
    name, _, function = path.removeprefix(_WELL_KNOWN).partition("/")
    return f"/{function}{_WELL_KNOWN}{name}" if path.startswith(_WELL_KNOWN) and function in FUNCTIONS else path


def open_gateway(token: str, functions: Mapping[str, WSGIApplication] = FUNCTIONS) -> Gateway:
    """Return the gateway to all functions. Their suite is composed from the environment on first use."""
    # Werkzeug logs each request's path, and a path names users and clients.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return Gateway(functions, token)


def _unknown_function(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return problem_answer(NotFound("unknown_door", "There is no such function."))(environ, start_response)
