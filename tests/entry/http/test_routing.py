"""Bodies at a door, through the framework that starts it: nobody's length or framing decides how much is read."""

from __future__ import annotations

import io
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import functions_framework
import pytest
from keyturn.entry.http.routing import BODY_LIMIT_BYTES
from werkzeug.test import Client

from main import DOORS

if TYPE_CHECKING:
    from pathlib import Path

DOOR = """
import functions_framework
from keyturn.entry.http.routing import Routes, body_of

ROUTES = Routes({
    ("POST", "/"): lambda request: {"length": len(body_of(request))},
    ("POST", "/unread"): lambda request: {"length": 0},
})


@functions_framework.http
def door(request):
    return ROUTES.answer(request)
"""


class Counted(io.BytesIO):
    """A body that knows how much of it was asked for."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count."""
        part = super().read(size)
        self.taken += len(part)
        return part

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer, as the base class has it
        """Read into a buffer, and count."""
        length = super().readinto(buffer)
        self.taken += length
        return length


class Broken(io.RawIOBase):
    """A body whose framing ends in the middle, as the server reports it."""

    def readable(self) -> bool:
        """Return that it looks like a body."""
        return True

    def readinto(self, _buffer: Any, /) -> int:  # noqa: ANN401 - a buffer, as the base class has it
        """Fail as werkzeug's server does over a chunk header that is none."""
        raise OSError("Invalid chunk header")


@pytest.fixture(name="door")
def _door(tmp_path: Path) -> Client:
    source = tmp_path / "main.py"
    source.write_text(DOOR, encoding="utf-8")
    return Client(functions_framework.create_app(target="door", source=str(source)))  # type: ignore[no-untyped-call]  # the framework has no types


def send(door: Client, path: str, body: Any, length: int | None) -> Any:  # noqa: ANN401 - any stream; werkzeug's test answer
    """Send a body as it is; without a length it is chunked, and its end is the stream's."""
    framing = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    overrides = framing if length is None else {"CONTENT_LENGTH": str(length)}
    return door.open(path, method="POST", environ_overrides={**overrides, "wsgi.input": body})


@pytest.mark.parametrize("length", [3 * BODY_LIMIT_BYTES, None], ids=["by its length", "chunked"])
def test_a_body_over_the_limit_is_not_read_to_its_end(door: Client, length: int | None) -> None:
    body = Counted(b" " * (3 * BODY_LIMIT_BYTES))
    answer = send(door, "/", body, length)
    assert (answer.status_code, answer.json["reason"]) == (413, "too_large")
    assert body.taken <= 2 * BODY_LIMIT_BYTES


def test_a_length_over_the_limit_is_refused_before_anything_is_read(door: Client) -> None:
    body = Counted(b" ")
    answer = send(door, "/", body, 99_999_999_999)
    assert (answer.status_code, body.taken) == (413, 0)


@pytest.mark.parametrize("path", ["/unread", "/nowhere"])
def test_what_a_route_does_not_want_is_not_read(door: Client, path: str) -> None:
    body = Counted(b" " * (3 * BODY_LIMIT_BYTES))
    answer = send(door, path, body, None)
    assert (answer.status_code, body.taken) == (200 if path == "/unread" else 404, 0)


@pytest.mark.parametrize("path", ["/", "/unread"])
def test_broken_framing_is_the_callers_doing(door: Client, path: str) -> None:
    answer = send(door, path, Broken(), None)
    assert (answer.status_code, answer.json.get("reason")) == ((200, None) if path == "/unread" else (400, "bad_http"))


def test_a_body_at_the_limit_is_taken(door: Client) -> None:
    for length in (BODY_LIMIT_BYTES, None):
        answer = send(door, "/", io.BytesIO(b" " * BODY_LIMIT_BYTES), length)
        assert (answer.status_code, answer.json["length"]) == (200, BODY_LIMIT_BYTES)


@pytest.mark.parametrize("door", sorted(DOORS))
def test_what_a_door_imports_later_is_there(door: str) -> None:
    routes = import_module(f"functions.{door}.main").ROUTES._handlers.values()
    named = [handler.args for handler in routes if isinstance(handler, partial)]
    assert all(callable(getattr(import_module(module), name)) for module, name in named)
    assert named or door not in {"operator", "status"}
