"""HTTP plumbing that every door shares: routes, bodies, answers. No door parses or maps errors by itself."""

from __future__ import annotations

import io
import json
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.exceptions import NotFound as RoutingNotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from keyturn.domain.encodings import flat_json
from keyturn.domain.errors import BadMethod, InvalidRequest, NotFound, TooLarge, Unauthenticated
from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.config.settings import SettingsError
from keyturn.entry.http.problems import problem
from keyturn.entry.http.views import plain
from keyturn.proofs.nip98 import check_authorization
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BODY_LIMIT_BYTES = 256 * 1024

_NOT_WHOLE = "The request is not whole, or no HTTP that this door takes."

Handler: TypeAlias = "Callable[..., Mapping[str, Any] | flask.Response]"


class Routes:
    """One door's routes: method and path (`/rotations/<rotation_id>`) to a handler of (request, **path values)."""

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._handlers = routes
        # What names no value needs no matching: most requests of most doors.
        self._plain = {route: handler for route, handler in routes.items() if "<" not in route[1]}
        self._map = Map([Rule(path, methods=[method], endpoint=(method, path)) for method, path in routes])

    def answer(self, request: flask.Request) -> flask.Response:
        """Return the answer of the route that the request names, or the problem that came of it."""
        # The framework hands over a proxy, which looks the request up anew at every access.
        request = getattr(request, "_get_current_object", lambda: request)()
        answer = self._answer(request)
        # The framework reads what is left of a body into memory before it answers, however long or broken that is.
        request.stream = io.BytesIO()
        return answer

    def _answer(self, request: flask.Request) -> flask.Response:
        try:
            path = request.path or "/"  # an empty one is the door's own address without its slash
            handler = self._plain.get((request.method, path))
            answer = handler(request) if handler else self._matched(request, path)
        except HTTPException as error:
            answer = problem_answer(_unrouted(error))
            if isinstance(error, MethodNotAllowed):
                answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        except Exception as error:  # noqa: BLE001 - the last resort: mapped, logged without its text, never echoed
            answer = problem_answer(error)
        return _finished(answer if isinstance(answer, flask.Response) else json_answer(answer))

    def _matched(self, request: flask.Request, path: str) -> Mapping[str, Any] | flask.Response:
        matched, values = self._map.bind("").match(path, request.method)
        return self._handlers[matched](request, **values)


def later(module: str) -> Callable[[str], Handler]:
    """Return what names a module's handlers: it is imported when one of their routes is first asked for.

    A door with many routes starts for one request; what the others need would only make it wait.
    """
    return lambda name: partial(_handled, module, name)


def _handled(module: str, name: str, request: flask.Request, **values: str) -> Mapping[str, Any] | flask.Response:
    handler: Handler = getattr(import_module(module), name)
    return handler(request, **values)


def _unrouted(error: HTTPException) -> Exception:
    if isinstance(error, MethodNotAllowed):
        return BadMethod("bad_method", "This path does not take that method.")
    if isinstance(error, RequestEntityTooLarge):
        return TooLarge("too_large", "The body is over 256 KiB.")
    if isinstance(error, (RoutingNotFound, RequestRedirect)):
        return NotFound("unknown_path", "There is nothing at this path.")
    return InvalidRequest("bad_http", _NOT_WHOLE)


def problem_answer(error: Exception) -> flask.Response:
    """Return the answer to an error, as a problem."""
    body, status, headers = problem(error)
    answer = json_answer(body, status)
    answer.mimetype = "application/problem+json"
    answer.headers.update(headers)
    return _finished(answer)


def json_answer(body: Mapping[str, Any], status: int = 200) -> flask.Response:
    """Return an answer whose body is JSON, with the stage's banner in it."""
    banner = _banner()
    whole = {**body, "banner": banner} if banner else body
    text = flat_json(whole) or _JSON.encode(whole)
    return flask.Response(text, status, content_type="application/json")


def _as_json(value: object) -> object:
    shown = plain(value)
    if shown is value:
        raise TypeError
    return shown


_JSON = json.JSONEncoder(ensure_ascii=False, default=_as_json)
"""Asks only about what is no JSON by itself: times, and mappings that are no dictionaries."""


def _finished(answer: flask.Response) -> flask.Response:
    answer.headers["Cache-Control"] = "no-store"
    if banner := _banner():
        answer.headers["X-Keyturn-Banner"] = banner
    return answer


def _banner() -> str:
    try:
        return current().settings.banner
    except SettingsError:  # then this is the answer that says so
        return ""


def body_of(request: flask.Request) -> bytes:
    """Return the body; `TooLarge` over 256 KiB, without reading on; `InvalidRequest` if it does not come whole."""
    length = request.content_length
    if (length or 0) > BODY_LIMIT_BYTES:
        raise TooLarge("too_large", "The body is over 256 KiB.")
    body = _read(request, length)
    if len(body) < (length or 0):  # its sender hung up
        raise InvalidRequest("bad_http", _NOT_WHOLE)
    if len(body) > BODY_LIMIT_BYTES:
        raise TooLarge("too_large", "The body is over 256 KiB.")
    return body


def _read(request: flask.Request, length: int | None) -> bytes:
    """Read a body of a known length from the server itself, once: the framework's stream only counts what we know."""
    try:
        if length is None:
            return request.stream.read(BODY_LIMIT_BYTES + 1)
        body: bytes = request.environ["wsgi.input"].read(length)
    except OSError:  # a chunk that is none, or a sender that fell silent
        raise InvalidRequest("bad_http", _NOT_WHOLE) from None
    request.environ["wsgi.input"] = io.BytesIO()  # who reads again does not wait for what never comes
    return body


def argument(request: flask.Request, name: str, default: str | None = None) -> str | None:
    """Return a parameter of the query; `InvalidRequest` if it stands there twice, for nobody knows which was meant."""
    given = request.args.getlist(name)
    if len(given) > 1:
        raise InvalidRequest("repeated_parameter", "A parameter of the query stands there more than once.")
    return given[0] if given else default


def fields_of(request: flask.Request) -> Fields:
    """Return the JSON object in the body; `InvalidRequest` if it is none."""
    return Fields(load_object(body_of(request)))


def caller_of(request: flask.Request) -> str:
    """Return the npub that signed this very request (NIP-98); its URL is the configured one, not the Host header's."""
    header = request.headers.get("Authorization", "")
    if not header:
        raise Unauthenticated("not_signed", "This request must be signed (NIP-98).")
    now = current().databases.control.get([]).read_time
    query = request.query_string.decode("ascii", "replace")
    url = f"{current().settings.base_url}{request.root_path}{request.path}" + (f"?{query}" if query else "")
    return check_authorization(header, url=url, method=request.method, body=body_of(request), now=now).pubkey
