"""WSGI middleware (PEP 3333): only requests with a valid credential reach the application."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from keyturn.verifier.failure_limits import source_of
from keyturn.verifier.middleware.credentials import Denial, may_hold_form
from keyturn.verifier.middleware.response_headers import response_headers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keyturn.verifier.middleware.credentials import Guard

VERDICT: Final = "keyturn.verdict"
"""The key under which the application finds the verdict in the environment."""


@dataclass(frozen=True, slots=True)
class WsgiGuard:
    """Guards `app`. A request's source is REMOTE_ADDR, so behind a proxy the server must set that first."""

    app: WSGIApplication
    guard: Guard

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or pass it on with its verdict."""
        verdict = self.guard.decide(_headers(environ), _form(environ), source_of(environ.get("REMOTE_ADDR")))
        if isinstance(verdict, Denial):
            return _answer(verdict, start_response)
        added = response_headers(verdict)

        def start_with_headers(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> object:
            return start_response(status, [*headers, *added], exc_info)  # type: ignore[arg-type]  # passed on unchanged

        return self.app({**environ, VERDICT: verdict}, start_with_headers)  # type: ignore[arg-type]  # a StartResponse by its shape


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    # A server joins a repeated header with commas (RFC 3875 §4.1.18), so a second Authorization spoils the first one.
    return {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}


def _form(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    size = int(length) if length.isascii() and length.isdigit() else 0
    if not may_hold_form(environ.get("REQUEST_METHOD", ""), environ.get("CONTENT_TYPE", ""), size):
        return b""
    body: bytes = environ["wsgi.input"].read(size)
    environ["wsgi.input"] = io.BytesIO(body)  # so that the application can read it again
    return body


def _answer(denial: Denial, start_response: StartResponse) -> list[bytes]:
    body = json.dumps({"error": denial.error}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *denial.headers]
    start_response(f"{denial.status} {HTTPStatus(denial.status).phrase}", [*headers, ("Cache-Control", "no-store")])
    return [body]
