"""The way in for Google's emulators, in front of the gateway: they carry no token, so a secret is in their address.

    /functions/projects/PROJECT/triggers/DOOR-SECRET   the Firestore emulator: a document was written
    /pushed/SECRET/DOOR/                               the Pub/Sub emulator: a message was published

Whoever knows no secret finds nothing there, and the doors behind keep wanting the token. `PROBE` is no door: what comes
for it tells only that the emulator's events arrive (trigger_probe.py).
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
"""Twice a document's 1 MiB, before and after, in base64: more is no event."""
TRIGGERS_PATH = "/functions/projects/"
PUSHED_PATH = "/pushed/"
PROBE = "probe"
_WRITTEN = frozenset({PROBE, *(item.function for item in TRIGGERS)})
_PUBLISHED = frozenset(item.function for item in SUBSCRIPTIONS)


@dataclass(frozen=True, slots=True)
class EmulatorWebhooks:
    """A WSGI application; `taken` gets every call of a trigger, which is answered at once: the emulator asks once."""

    gateway: WSGIApplication
    taken: Callable[[Call], None]
    token: str = field(repr=False)
    secret: Callable[[], str] = field(repr=False)
    heard: Event = field(default_factory=Event)
    """Set once an event has arrived."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        if path.startswith(TRIGGERS_PATH):
            return self._written(Request(environ))(environ, start_response)
        if path.startswith(PUSHED_PATH):
            return self._pushed(path, environ, start_response)
        return self.gateway(environ, start_response)

    def _written(self, request: Request) -> Response:
        door, _, presented = request.path.rpartition("/")[2].rpartition("-")
        if not self._knows(presented) or door not in _WRITTEN:
            return _nowhere()
        try:
            body = _decoded(request)
        except ValueError:
            return problem_answer(InvalidRequest("bad_event", "This is no event of the emulator."))
        self.heard.set()
        if door != PROBE:
            self.taken(Call(door, eventarc_headers(request.headers.items()), body))
        return Response(status=204)

    def _pushed(self, path: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        presented, _, door = path.removeprefix(PUSHED_PATH).rstrip("/").partition("/")
        if not self._knows(presented) or door not in _PUBLISHED:
            return _nowhere()(environ, start_response)
        # What IAM does in the cloud for the subscription's service account.
        inside = {**environ, "PATH_INFO": f"/{door}/", "HTTP_AUTHORIZATION": f"Bearer {self.token}"}
        return self.gateway(inside, start_response)

    def _knows(self, presented: str) -> bool:
        return hmac.compare_digest(presented.encode("utf-8", "replace"), self.secret().encode())


def eventarc_headers(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return an event's attributes as Eventarc would send them, from the emulator's headers."""
    found = {name.lower(): value for name, value in headers if name.lower().startswith("ce-")}
    if "ce-source" in found:
        found["ce-source"] = found["ce-source"].replace("projects/projects/", "projects/")
    return {**found, "content-type": "application/protobuf"}


def _decoded(request: Request) -> bytes:
    """Return the event's protobuf: the emulator sends it in base64; ValueError if it is none, or too large."""
    text = request.stream.read(LARGEST_EVENT_BYTES + 1)
    if len(text) > LARGEST_EVENT_BYTES:
        raise ValueError("too large")
    return b64decode(text, validate=True)


def _nowhere() -> Response:
    return problem_answer(NotFound("unknown_door", "There is no such door."))
