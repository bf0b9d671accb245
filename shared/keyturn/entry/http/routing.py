"""Routes of a function: which handler answers which method and path.

No handler maps its own errors: whatever it raises becomes a problem here, in one place.

A function gets a path in one of two forms. At an address of its own (`cloudfunctions.net`) the front end removes the
function's name: `/clients/acme`. A Hosting rewrite, a load balancer and `keyturn up` keep it: `/status/clients/acme`.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeAlias

import flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.exceptions import NotFound as RoutingNotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from keyturn.domain.errors import BadMethod, InvalidRequest, NotFound, TooLarge
from keyturn.entry.http.requests import INCOMPLETE, TOO_LARGE
from keyturn.entry.http.responses import finished, json_answer, problem_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

Handler: TypeAlias = "Callable[..., Mapping[str, Any] | flask.Response]"
"""Takes the request and the path's values, and returns the JSON body of a 200, or a whole response."""


class Routes:
    """The routes of the function `name`, by method and path (`/rotations/<rotation_id>`). Also a WSGI application."""

    def __init__(self, name: str, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self.handlers = handlers
        self.root_path = f"/{name}"
        # A path without parameters needs no matching: most requests of most functions.
        self._fixed = {route: handler for route, handler in handlers.items() if "<" not in route[1]}
        self._map = Map([Rule(path, methods=[method], endpoint=(method, path)) for method, path in handlers])

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request without a framework around it, as `keyturn up` does."""
        return self.answer(flask.Request(environ))(environ, start_response)

    def answer(self, request: flask.Request) -> flask.Response:
        """Return the response of the matching route, or the problem that it raised."""
        # functions-framework passes a proxy, which looks the request up anew at every access.
        request = getattr(request, "_get_current_object", lambda: request)()
        answer = self._answer(request)
        # functions-framework reads the rest of a body into memory before it answers, however long or broken it is.
        request.stream = io.BytesIO()
        return answer

    def _answer(self, request: flask.Request) -> flask.Response:
        try:
            path = self._enter(request)
            handler = self._fixed.get((request.method, path))
            answer = handler(request) if handler else self._match(request, path)
        except HTTPException as error:
            answer = problem_answer(_routing_error(error))
            if isinstance(error, MethodNotAllowed):
                answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))  # RFC 9110 §15.5.6
        except Exception as error:  # noqa: BLE001 - the last resort: mapped, logged without its text, never echoed
            answer = problem_answer(error)
        return finished(answer if isinstance(answer, flask.Response) else json_answer(answer))

    def _enter(self, request: flask.Request) -> str:
        """Give a request the same paths in both forms, and return the one within the function.

        Signatures bind `root_path` and `path` (NIP-98), so the signed URL does not depend on the form.
        """
        root, path = self.root_path, request.path
        if path == root or path.startswith(f"{root}/"):
            path = path[len(root) :]  # once only: in a path with the name twice, the second one is a path of ours
        # An empty path is the function's own address without its slash.
        request.root_path, request.path = root, "/" + path.lstrip("/")
        return request.path

    def _match(self, request: flask.Request, path: str) -> Mapping[str, Any] | flask.Response:
        if "\n" in path:  # functions-framework routes no such path: the answer is the same without it
            raise RoutingNotFound
        endpoint, values = self._map.bind("").match(path, request.method)
        return self.handlers[endpoint](request, **values)


def _routing_error(error: HTTPException) -> Exception:
    if isinstance(error, MethodNotAllowed):
        return BadMethod("bad_method", "This path does not take that method.")
    if isinstance(error, RequestEntityTooLarge):
        return TooLarge("too_large", TOO_LARGE)
    # A redirect would name an address without the function's own path in it: it is answered as unknown.
    if isinstance(error, (RoutingNotFound, RequestRedirect)):
        return NotFound("unknown_path", "There is nothing at this path.")
    return InvalidRequest("bad_http", INCOMPLETE)
