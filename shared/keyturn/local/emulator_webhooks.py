"""Webhooks for Google's emulators, in front of the gateway. The emulators send no token, so the URL holds a secret.

    /functions/projects/PROJECT/triggers/FUNCTION-SECRET   the Firestore emulator: a document was written
    /pushed/SECRET/FUNCTION/                               the Pub/Sub emulator: a message was published

Without the secret the answer is 404. The functions behind still require the token, which the webhooks add. `PROBE` is
not a function: its events only prove that the emulator's events arrive here (trigger_probe.py).
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from keyturn.domain.errors import InvalidRequest, NotFound
from keyturn.entry.http.responses import problem_answer
from keyturn.local.redelivery import Call
from keyturn.ports.triggers import SUBSCRIPTIONS, TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST_EVENT_BYTES = 4 * 1024 * 1024
"""An event holds a document of at most 1 MiB before and after the write, in base64."""
TRIGGERS_PATH = "/functions/projects/"
PUSHED_PATH = "/pushed/"
PROBE = "probe"
_WRITE_FUNCTIONS = frozenset({PROBE, *(item.function for item in TRIGGERS)})
_MESSAGE_FUNCTIONS = frozenset(item.function for item in SUBSCRIPTIONS)


@dataclass(frozen=True, slots=True)
class EmulatorWebhooks:
    """A WSGI application in front of `gateway`.

    `deliver` receives the call of every trigger event. The emulator is answered at once, because it never retries.
    """

    gateway: WSGIApplication
    deliver: Callable[[Call], None]
    token: str = field(repr=False)
    secret: Callable[[], str] = field(repr=False)
    event_arrived: Event = field(default_factory=Event)
    """Set once an event has arrived."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path.startswith(TRIGGERS_PATH):
            return self._receive_write(Request(environ))(environ, start_response)
        if path.startswith(PUSHED_PATH):
            return self._receive_message(path, environ, start_response)
        return self.gateway(environ, start_response)

    def _receive_write(self, request: Request) -> Response:
        function, _, presented_secret = request.path.rpartition("/")[2].rpartition("-")
        if not self._is_secret(presented_secret) or function not in _WRITE_FUNCTIONS:
            return _not_found()
        try:
            body = _read_event(request)
        except ValueError:
            return problem_answer(InvalidRequest("bad_event", "The request is not an event of the emulator."))
        self.event_arrived.set()
        if function != PROBE:
            self.deliver(Call(function, eventarc_headers(request.headers.items()), body))
        return Response(status=204)

    def _receive_message(self, path: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        presented_secret, _, function = path.removeprefix(PUSHED_PATH).rstrip("/").partition("/")
        if not self._is_secret(presented_secret) or function not in _MESSAGE_FUNCTIONS:
            return _not_found()(environ, start_response)
        # In the cloud, IAM authenticates the subscription's service account here.
        inner = {**environ, "PATH_INFO": f"/{function}/", "HTTP_AUTHORIZATION": f"Bearer {self.token}"}
        return self.gateway(inner, start_response)

    def _is_secret(self, presented: str) -> bool:
        # Encode first: `compare_digest` accepts only ASCII strings, and a path may contain any character.
        return hmac.compare_digest(presented.encode("utf-8", "replace"), self.secret().encode())


def eventarc_headers(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return an event's attributes as Eventarc would send them, from the emulator's headers."""
    attributes = {name.lower(): value for name, value in headers if name.lower().startswith("ce-")}
    if "ce-source" in attributes:
        # A bug of the emulator: it writes the collection's name twice.
        attributes["ce-source"] = attributes["ce-source"].replace("projects/projects/", "projects/")
    return {**attributes, "content-type": "application/protobuf"}


def _read_event(request: Request) -> bytes:
    """Return the event's protobuf, which the emulator sends in base64. ValueError if it is malformed or too large."""
    text = request.stream.read(LARGEST_EVENT_BYTES + 1)
    if len(text) > LARGEST_EVENT_BYTES:
        raise ValueError("too large")
    return b64decode(text, validate=True)


def _not_found() -> Response:
    return problem_answer(NotFound("unknown_door", "There is no such function."))
