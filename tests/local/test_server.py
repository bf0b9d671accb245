"""The server of one machine: what it says, and says alone, about a port that it can't have."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from keyturn.local.errors import LocalError
from keyturn.local.server import HOST, Server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def nothing(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def test_a_port_in_use_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server((HOST, 0))) as taken, pytest.raises(LocalError, match="is in use") as refused:
        Server(taken.getsockname()[1], nothing)
    assert refused.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("port", [-1, 65_536, 99_999, 1 << 40])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(LocalError, match="Invalid port"):
        Server(port, nothing)


def test_zero_takes_a_free_port_and_a_stopped_server_gives_it_back() -> None:
    server = Server(0, nothing)
    server.start()
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection((HOST, port), timeout=5) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.recv(100).startswith(b"HTTP/1.1 204")
    server.stop()
    again = Server(port, nothing)
    again.start()
    again.stop()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-Many: a\r\n" * 200 + b"\r\n", 431),
        (b"verymalformed\r\n\r\n", 400),
        (b"GET / HTTP/9.9.9\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: aaa\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: aaa\rX-Client-Id: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: a\x00a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
def test_what_no_door_can_see_is_a_problem_that_echoes_nothing(sent: bytes, status: int) -> None:
    server = Server(0, nothing)
    server.start()
    try:
        with socket.create_connection((HOST, int(server.url.rpartition(":")[2])), timeout=5) as caller:
            caller.sendall(sent)
            whole = b"".join(iter(lambda: caller.recv(65_536), b""))
    finally:
        server.stop()
    head, _, body = whole.partition(b"\r\n\r\n")
    answer = json.loads(body)
    assert (answer["status"], answer["reason"]) == (status, "bad_http")
    assert b"Content-Type: application/problem+json" in head
    assert b"verymalformed" not in whole
    assert b"aaa" not in whole


def test_white_space_around_a_field_value_is_no_part_of_it() -> None:
    values: list[str] = []

    def read_key(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        values.append(environ["HTTP_X_API_KEY"])
        return nothing(environ, start_response)

    server = Server(0, read_key)
    server.start()
    try:
        with socket.create_connection((HOST, int(server.url.rpartition(":")[2])), timeout=5) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nhost:x\r\nx-api-key: \t a\xc3\xa4 b\t \r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 204")
    finally:
        server.stop()
    assert values == [b"a\xc3\xa4 b".decode("latin-1")]
