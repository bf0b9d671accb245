"""A function in a process of its own, as the front in `keyturn up --emulators` reaches it: forwards requests to it.

The front does what Google's front ends do: it removes the function's name from the path or keeps it, and it appends the
caller's address to X-Forwarded-For. The function may answer late. A function that ends meanwhile is 503.
"""

from __future__ import annotations

import http.client
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import is_hop_by_hop_header
from werkzeug.wsgi import get_input_stream

from keyturn.domain.errors import InvalidRequest, TooLarge, Unavailable
from keyturn.entry.http.requests import INCOMPLETE, TOO_LARGE
from keyturn.entry.http.responses import problem_answer
from keyturn.local.options import PathForm
from keyturn.local.server import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

LARGEST_BODY_BYTES = 32 * 1024 * 1024
"""The limit of Cloud Run for requests over HTTP/1. Functions have lower limits of their own."""
TIMEOUT_SECONDS = 300.0
"""The longest timeout of a function in terraform/functions.tf."""
_PATH_CHARACTERS = "/!$&'()*+,:;=@~"
_REPLACED = frozenset({"content-length", "x-forwarded-for"})


@dataclass(frozen=True, slots=True)
class FunctionProxy:
    """A WSGI application: the process of the function `name` at `port`, which gets its paths in one form."""

    name: str
    port: int
    form: PathForm

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Forward one request, and return the answer."""
        try:
            body = get_input_stream(environ, max_content_length=LARGEST_BODY_BYTES).read()
        except RequestEntityTooLarge:
            return problem_answer(TooLarge("too_large", TOO_LARGE))(environ, start_response)
        except (OSError, HTTPException):  # a malformed chunk, or a sender that has gone
            return problem_answer(InvalidRequest("bad_http", INCOMPLETE))(environ, start_response)
        try:
            response, content = self._forward(environ, body)
        except (OSError, http.client.HTTPException):
            problem = Unavailable("part_unavailable", "The function does not answer.")
            return problem_answer(problem)(environ, start_response)
        headers = [(name, value) for name, value in response.getheaders() if not is_hop_by_hop_header(name)]
        start_response(f"{response.status} {response.reason}", headers)
        return [content]

    def _forward(self, environ: WSGIEnvironment, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT_SECONDS)) as connection:
            # A function may refuse a large body before it was sent completely. Its answer can be read even then.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    environ["REQUEST_METHOD"], self._target(environ), body or None, _headers(environ, body)
                )
            response = connection.getresponse()
            return response, response.read()

    def _target(self, environ: WSGIEnvironment) -> str:
        path = environ["PATH_INFO"]
        if self.form is PathForm.STRIPPED:
            path = path.removeprefix(f"/{self.name}") or "/"
        query = environ.get("QUERY_STRING")
        # WSGI gives a path as decoded bytes in latin-1 (PEP 3333).
        return quote(path.encode("latin-1"), safe=_PATH_CHARACTERS) + (f"?{query}" if query else "")


def _headers(environ: WSGIEnvironment, body: bytes) -> dict[str, str]:
    received = {
        name: value
        for name, value in EnvironHeaders(environ).items()
        if not is_hop_by_hop_header(name) and name.lower() not in _REPLACED
    }
    forwarded_for = [environ.get("HTTP_X_FORWARDED_FOR", ""), environ.get("REMOTE_ADDR", "")]
    replaced = {
        "X-Forwarded-For": ", ".join(filter(None, forwarded_for)),
        "Connection": "close",
        **({"Content-Length": str(len(body))} if "CONTENT_LENGTH" in environ or body else {}),
    }
    return received | replaced
