from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest
from keyturn.device.api import client as http_client
from keyturn.device.api.client import HttpRequest, HttpTransport, require_base_url
from keyturn.device.core.errors import InsecureAddressError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        else:
            self.send_response(200)
        answer = f"{self.path} {self.headers['X-Said']} ".encode() + body
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_call_goes_out_as_it_is(address: str) -> None:
    answer = HttpTransport().send(HttpRequest("POST", f"{address}/door/?after=7", {"X-Said": "hello"}, b"body"))
    assert (answer.status, answer.body) == (200, b"/door/?after=7 hello body")
    assert answer.headers["content-length"] == "25"


def test_a_redirect_is_not_followed(address: str) -> None:
    assert HttpTransport().send(HttpRequest("POST", f"{address}/redirect", {}, b"")).status == 302


def test_an_answer_without_end_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "MAX_ANSWER_BYTES", 3)
    with pytest.raises(UnreachableError):
        HttpTransport().send(HttpRequest("POST", f"{address}/", {}, b"body"))


def test_an_unreachable_server_gives_a_hint() -> None:
    with pytest.raises(UnreachableError) as lost:
        HttpTransport().send(HttpRequest("GET", "http://127.0.0.1:1/", {}, None))
    assert "keyturn up" in lost.value.hint


def test_a_call_shows_no_secret() -> None:
    call = HttpRequest("POST", "http://127.0.0.1/", {"X-API-Key": "hush"}, b"hush")
    assert "hush" not in repr(call)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
        ("http://localhost:8787", "http://localhost:8787"),
        ("http://[::1]:8787", "http://[::1]:8787"),
        ("https://keys.example/suite/", "https://keys.example/suite"),
    ],
)
def test_a_base_address_loses_its_last_slash(url: str, base: str) -> None:
    assert require_base_url(url) == base


@pytest.mark.parametrize(
    "url", ["", "keys.example", "ftp://keys.example", "https://", "https://a:b@keys.example", "https://k.example/?a=1"]
)
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        require_base_url(url)


@pytest.mark.parametrize("url", ["http://keys.example", "http://10.0.0.1:8787", "http://127.0.0.1.example"])
def test_plain_http_over_a_network_is_refused(url: str) -> None:
    with pytest.raises(InsecureAddressError):
        require_base_url(url)
