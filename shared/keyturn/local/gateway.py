"""Gateway: every door at /<door> of one address, each started by functions-framework through the root main.py.

What IAM does in the cloud, a token does here: the operator's door and those that only the suite itself calls want it.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import functions_framework
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import main as doors
from keyturn.domain.errors import NotFound, Unauthenticated
from keyturn.entry.http.routing import problem_answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GUARDED = frozenset({"operator", "on_secret_version", "distribute", "grace_sweeper"})

_WELL_KNOWN = "/.well-known/"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A WSGI application; `token` is what the guarded doors want as a bearer token."""

    routes: WSGIApplication
    token: str = field(repr=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        environ["PATH_INFO"] = _of_door(environ["PATH_INFO"])
        door = environ["PATH_INFO"].split("/")[1] if environ["PATH_INFO"].startswith("/") else ""
        if door in GUARDED and not self._may_pass(environ):
            refusal = Unauthenticated("operator_token", "This door wants the operator's token.")
            answer = problem_answer(refusal)
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer(environ, start_response)
        if "\n" in environ["PATH_INFO"]:  # the framework would answer a page of its own
            return problem_answer(NotFound("unknown_path", "There is nothing at this path."))(environ, start_response)
        if environ["PATH_INFO"] == f"/{door}":
            environ["PATH_INFO"] += "/"  # the door's own address, with or without its slash
        return self.routes(environ, start_response)

    def _may_pass(self, environ: WSGIEnvironment) -> bool:
        presented = environ.get("HTTP_AUTHORIZATION", "").encode("utf-8", "replace")
        return hmac.compare_digest(presented, f"Bearer {self.token}".encode())


def _of_door(path: str) -> str:
    """Return a path within a door; what is well known of it stands before its path, too (RFC 8414 §3.1)."""
    name, _, door = path.removeprefix(_WELL_KNOWN).partition("/")
    return f"/{door}{_WELL_KNOWN}{name}" if path.startswith(_WELL_KNOWN) and door in doors.DOORS else path


def open_gateway(token: str) -> Gateway:
    """Return the gateway to all doors; the suite behind them is wired from the environment on first use."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    apps = {f"/{door}": _door(door) for door in doors.DOORS}
    return Gateway(DispatcherMiddleware(_no_such_door, apps), token)


def _door(name: str) -> WSGIApplication:
    app: WSGIApplication = functions_framework.create_app(target=name, source=doors.__file__)  # type: ignore[no-untyped-call]  # the framework has no types
    return app


def _no_such_door(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return problem_answer(NotFound("unknown_door", "There is no such door."))(environ, start_response)
