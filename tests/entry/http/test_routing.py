"""Request bodies under functions-framework: a caller's length or framing does not decide how much is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import functions_framework
import pytest
from keyturn.entry.http.requests import BODY_LIMIT_BYTES
from werkzeug.test import Client

if TYPE_CHECKING:
    from pathlib import Path

FUNCTION = """
import functions_framework
from keyturn.entry.http.requests import body_of
from keyturn.entry.http.routing import Routes

ROUTES = Routes("function", {
    ("POST", "/"): lambda request: {"length": len(body_of(request))},
    ("POST", "/unread"): lambda request: {"length": 0},
})


@functions_framework.http
def function(request):
    return ROUTES.answer(request)
"""


class Counted(io.BytesIO):
    """A body that counts how many of its bytes were read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and count."""
        part = super().read(size)
        self.bytes_read += len(part)
        return part

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer, as the base class has it
        """Read into a buffer, and count."""
        length = super().readinto(buffer)
        self.bytes_read += length
        return length


class Broken(io.RawIOBase):
    """A body whose framing breaks off, as the server reports it."""

    def readable(self) -> bool:
        """Return True: it looks like a body."""
        return True

    def readinto(self, _buffer: Any, /) -> int:  # noqa: ANN401 - a buffer, as the base class has it
        """Fail as werkzeug's server does at a malformed chunk header."""
        raise OSError("Invalid chunk header")


@pytest.fixture(name="function")
def _function(tmp_path: Path) -> Client:
    source = tmp_path / "main.py"
    source.write_text(FUNCTION, encoding="utf-8")
    return Client(functions_framework.create_app(target="function", source=str(source)))  # type: ignore[no-untyped-call]  # the framework has no types


def send(function: Client, path: str, body: Any, length: int | None) -> Any:  # noqa: ANN401 - any stream; werkzeug's test answer
    """Send a body as it is. Without a length it is chunked, and ends with the stream."""
    framing = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    overrides = framing if length is None else {"CONTENT_LENGTH": str(length)}
    return function.open(path, method="POST", environ_overrides={**overrides, "wsgi.input": body})


@pytest.mark.parametrize("length", [3 * BODY_LIMIT_BYTES, None], ids=["by its length", "chunked"])
def test_a_body_over_the_limit_is_not_read_to_its_end(function: Client, length: int | None) -> None:
    body = Counted(b" " * (3 * BODY_LIMIT_BYTES))
    answer = send(function, "/", body, length)
    assert (answer.status_code, answer.json["reason"]) == (413, "too_large")
    assert body.bytes_read <= 2 * BODY_LIMIT_BYTES


def test_a_length_over_the_limit_is_refused_before_anything_is_read(function: Client) -> None:
    body = Counted(b" ")
    answer = send(function, "/", body, 99_999_999_999)
    assert (answer.status_code, body.bytes_read) == (413, 0)


@pytest.mark.parametrize("path", ["/unread", "/nowhere"])
def test_a_body_that_no_handler_reads_is_not_read(function: Client, path: str) -> None:
    body = Counted(b" " * (3 * BODY_LIMIT_BYTES))
    answer = send(function, path, body, None)
    assert (answer.status_code, body.bytes_read) == (200 if path == "/unread" else 404, 0)


@pytest.mark.parametrize("path", ["/", "/unread"])
def test_broken_framing_is_a_client_error(function: Client, path: str) -> None:
    answer = send(function, path, Broken(), None)
    assert (answer.status_code, answer.json.get("reason")) == ((200, None) if path == "/unread" else (400, "bad_http"))


def test_a_body_at_the_limit_is_accepted(function: Client) -> None:
    for length in (BODY_LIMIT_BYTES, None):
        answer = send(function, "/", io.BytesIO(b" " * BODY_LIMIT_BYTES), length)
        assert (answer.status_code, answer.json["length"]) == (200, BODY_LIMIT_BYTES)
