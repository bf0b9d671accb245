"""WSGI middleware (PEP 3333): only requests with a good credential reach the application behind it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from keyturn.verifier.failure_limits import source_of
from keyturn.verifier.middleware.credentials import Denied, takes_form
from keyturn.verifier.middleware.notices import notices

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keyturn.verifier.middleware.credentials import Guard

VERDICT: Final = "keyturn.verdict"
"""Where in the environment the application finds the verdict."""


@dataclass(frozen=True, slots=True)
class WsgiGuard:
    """Stands before `app`. The source of a request is the environment's REMOTE_ADDR: behind a proxy, set it first."""

    app: WSGIApplication
    guard: Guard

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or pass it on with its verdict."""
        decided = self.guard.decide(_headers(environ), _form(environ), source_of(environ.get("REMOTE_ADDR")))
        if isinstance(decided, Denied):
            return _denied(decided, start_response)
        said = notices(decided)

        def noticing(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> object:
            return start_response(status, [*headers, *said], exc_info)  # type: ignore[arg-type]  # passed on as it came

        return self.app({**environ, VERDICT: decided}, noticing)  # type: ignore[arg-type]  # a StartResponse by its shape


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    return {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}


def _form(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    size = int(length) if length.isascii() and length.isdigit() else 0
    if not takes_form(environ.get("REQUEST_METHOD", ""), environ.get("CONTENT_TYPE", ""), size):
        return b""
    body: bytes = environ["wsgi.input"].read(size)
    environ["wsgi.input"] = io.BytesIO(body)  # the application reads it again
    return body


def _denied(denied: Denied, start_response: StartResponse) -> list[bytes]:
    body = json.dumps({"error": denied.error}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *denied.headers]
    start_response(f"{denied.status} {HTTPStatus(denied.status).phrase}", [*headers, ("Cache-Control", "no-store")])
    return [body]
