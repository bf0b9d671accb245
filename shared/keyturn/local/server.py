"""The HTTP server of one machine: loopback only, a thread a request, no access log (a URL may say who does what)."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

HOST = "127.0.0.1"
_LAST_PORT = 65_535


class _QuietHandler(WSGIRequestHandler):
    disable_nagle_algorithm = True
    timeout = 30  # seconds that a silent connection may hold a thread

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Write nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - what they say quotes the request
        """Answer what no door could see (a line or a header too long, no HTTP at all) as the doors would: a problem."""
        phrase = HTTPStatus(code).phrase
        problem = {
            "type": "about:blank",
            "title": phrase,
            "status": code,
            "error": "invalid_request" if code < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error",
            "reason": "bad_http",
            "detail": "The request is no HTTP that this server takes.",
        }
        body = json.dumps(problem).encode("ascii")
        self.request_version = "HTTP/1.1"  # else what says no version gets no headers
        self.send_response(code, phrase)
        for name, value in (("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server:
    """A bound socket; `application` answers once `start` was called."""

    def __init__(self, port: int, application: WSGIApplication) -> None:
        with closing(_listening(port)) as bound:
            self._server = ThreadedWSGIServer(HOST, port, application, _QuietHandler, fd=bound.fileno())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{HOST}:{self._server.port}"

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, and let go of the port; also if it never was started."""
        if self._thread.is_alive():
            self._server.shutdown()  # would wait for ever for what never ran
            self._thread.join()
        self._server.server_close()


def _listening(port: int) -> socket.socket:
    # Bound here: the base class prints sentences of its own when it can't, and takes 65536 more as the same port.
    if not 0 <= port <= _LAST_PORT:
        raise LocalError("That is no port.", "Ports are 1 to 65535; 0 takes a free one.")
    try:
        return socket.create_server((HOST, port), backlog=ThreadedWSGIServer.request_queue_size)
    except PermissionError:
        raise LocalError(f"Port {port} is not this user's to take.", "Choose another --port, above 1023.") from None
    except OSError:
        raise LocalError(
            f"Port {port} is in use.", "Stop what listens there (another `keyturn up`?), or choose another --port."
        ) from None
