"""What a function in a process of its own gets of a request, and what its caller gets when it does not answer."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.local.function_proxy import LARGEST_BODY_BYTES, FunctionProxy
from keyturn.local.gateway import open_gateway
from keyturn.local.options import PathForm
from keyturn.local.server import HOST, Server
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "the-operators-own-token"
NAME = "status"


@dataclass
class Function:
    """A server that keeps the requests it gets."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    answer: Response = field(default_factory=lambda: Response("body", 418, {"X-Own": "kept", "Connection": "close"}))

    def __post_init__(self) -> None:
        self.server = Server(0, self.application)
        self.port = int(self.server.url.rpartition(":")[2])

    @property
    def application(self) -> Any:  # noqa: ANN401 - a WSGI application that the decorator makes
        @Request.application
        def take(request: Request) -> Response:
            names = {"target": request.environ["REQUEST_URI"], "method": request.method}
            body = b"" if request.path.endswith("/refused") else request.get_data()
            self.requests.append({**names, "body": body, "headers": dict(request.headers)})
            return self.answer

        return take


@pytest.fixture
def function() -> Iterator[Function]:
    function = Function()
    function.server.start()
    yield function
    function.server.stop()


def front(function: Function, form: PathForm = PathForm.STRIPPED, name: str = NAME) -> Client:
    return Client(open_gateway(TOKEN, {name: FunctionProxy(name, function.port, form)}))


@pytest.mark.parametrize(
    ("sent", "stripped"),
    [
        ("/status/clients/acme", "/clients/acme"),
        ("/status/clients/acme?after=a%2Fb&x=%C3%A9", "/clients/acme?after=a%2Fb&x=%C3%A9"),
        ("/status/status/a", "/status/a"),
        ("/status/", "/"),
        ("/status", "/"),
        ("/status/%C3%A9%20%0A", "/%C3%A9%20%0A"),
    ],
)
def test_a_function_gets_the_path_in_the_form_that_is_chosen(function: Function, sent: str, stripped: str) -> None:
    for form in PathForm:
        front(function, form).get(sent)
    assert [item["target"] for item in function.requests] == ([stripped, sent])


def test_a_request_and_its_answer_pass_unchanged(function: Function) -> None:
    headers = {"X-Own": "value", "Authorization": "Nostr signed", "Connection": "keep-alive"}
    answer = front(function).post("/status/a", data=b"\x00\xffbytes", headers=headers, content_type="text/x")
    (request,) = function.requests
    assert (request["method"], request["body"]) == ("POST", b"\x00\xffbytes")
    names = ("X-Own", "Authorization", "Content-Type", "Host")
    assert [request["headers"].get(name) for name in names] == ["value", "Nostr signed", "text/x", "localhost"]
    assert (answer.status_code, answer.data, answer.headers["X-Own"]) == (418, b"body", "kept")
    assert "Connection" not in answer.headers


def test_the_answer_to_head_has_no_body(function: Function) -> None:
    answer = front(function).head("/status/a")
    assert (answer.status_code, answer.data, answer.content_length) == (418, b"", 4)


@pytest.mark.parametrize("given", [None, "198.51.100.1", "198.51.100.1, 203.0.113.5"])
def test_the_callers_address_is_appended_as_googles_front_end_does(function: Function, given: str | None) -> None:
    headers = {"X-Forwarded-For": given} if given else {}
    front(function).get("/status/a", headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    assert function.requests[0]["headers"]["X-Forwarded-For"] == ", ".join(filter(None, [given, "192.0.2.7"]))


def test_a_function_never_sees_the_operators_token(function: Function) -> None:
    caller = front(function, name="operator")
    assert caller.get("/operator/groups").status_code == 401
    assert caller.get("/operator/groups", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 418
    (request,) = function.requests
    assert TOKEN not in str(request)


def test_a_function_that_does_not_answer_is_503(function: Function) -> None:
    function.server.stop()
    answer = front(function).get("/status/a")
    assert (answer.status_code, (answer.json or {})["reason"]) == (503, "part_unavailable")


def _accept_and_close(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_a_function_that_ends_during_a_request_is_503() -> None:
    with closing(socket.create_server((HOST, 0))) as listener:
        function = threading.Thread(target=_accept_and_close, args=(listener,))
        function.start()
        proxy = FunctionProxy(NAME, listener.getsockname()[1], PathForm.STRIPPED)
        answer = Client(open_gateway(TOKEN, {NAME: proxy})).post("/status/a", data=b"x")
        function.join()
    assert (answer.status_code, (answer.json or {})["reason"]) == (503, "part_unavailable")


def test_an_answer_before_the_end_of_a_large_body_arrives(function: Function) -> None:
    answer = front(function).post("/status/refused", data=b"x" * (8 * 1024 * 1024))
    assert answer.status_code == 418


def test_a_body_over_cloud_runs_limit_is_413(function: Function) -> None:
    length = {"CONTENT_LENGTH": str(LARGEST_BODY_BYTES + 1)}
    answer = front(function).post("/status/a", environ_overrides=length)
    assert (answer.status_code, (answer.json or {})["reason"]) == (413, "too_large")
    assert function.requests == []


@pytest.mark.parametrize(
    ("framing", "body", "status"),
    [
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n", 418),
        (b"Transfer-Encoding: chunked", b"zz\r\nabc\r\n", 400),
        (b"Content-Length: 9", b"abc", 400),
    ],
)
def test_a_body_is_read_to_its_end_or_refused(function: Function, framing: bytes, body: bytes, status: int) -> None:
    server = Server(0, open_gateway(TOKEN, {NAME: FunctionProxy(NAME, function.port, PathForm.STRIPPED)}))
    server.start()
    try:
        with socket.create_connection((HOST, int(server.url.rpartition(":")[2])), timeout=5) as caller:
            head = b"POST /status/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            caller.sendall(head + framing + b"\r\n\r\n" + body)
            caller.shutdown(socket.SHUT_WR)
            whole = b"".join(iter(lambda: caller.recv(65_536), b""))
    finally:
        server.stop()
    assert int(whole.split()[1]) == status, whole
    if status == 400:
        assert json.loads(whole.partition(b"\r\n\r\n")[2])["reason"] == "bad_http"
    assert [item["body"] for item in function.requests] == ([b"abc"] if status == 418 else [])
