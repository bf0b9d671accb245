"""The HTTP server of one machine: loopback only, one thread per request, no access log (URLs may identify users)."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from keyturn.local.errors import LocalError
from keyturn.local.header_lines import BadHeader, HeaderLines, require_framing

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

HOST = "127.0.0.1"
_LAST_PORT = 65_535


class _QuietHandler(WSGIRequestHandler):
    disable_nagle_algorithm = True
    timeout = 30  # seconds that a silent connection may hold a thread

    def parse_request(self) -> bool:
        """Read request line and headers. Return whether they are valid; if not, they are answered."""
        lines, self.rfile = self.rfile, HeaderLines(self.rfile)  # type: ignore[assignment]  # the parser reads lines only
        try:
            if not super().parse_request():
                return False
            require_framing(self.headers, self.request_version)
        except BadHeader:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        finally:
            self.rfile = lines
        return True

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Log nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - they quote the request
        """Answer a request that is not valid HTTP, or too large, with a problem document (RFC 9457) as functions do."""
        phrase = HTTPStatus(code).phrase
        problem = {
            "type": "about:blank",
            "title": phrase,
            "status": code,
            "error": "invalid_request" if code < HTTPStatus.INTERNAL_SERVER_ERROR else "internal_error",
            "reason": "bad_http",
            "detail": "The request is not valid HTTP, or its line or headers are too long.",
        }
        body = json.dumps(problem).encode("ascii")
        self.request_version = "HTTP/1.1"  # without a version the base class sends no headers
        self.send_response(code, phrase)
        for name, value in (("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server:
    """A bound socket: a port to listen at, or a socket that listens already. Requests are answered after `start`."""

    def __init__(self, place: int | socket.socket, application: WSGIApplication) -> None:
        with closing(place if isinstance(place, socket.socket) else _listen(place)) as listener:
            self._server = ThreadedWSGIServer(HOST, 0, application, _QuietHandler, fd=listener.fileno())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{HOST}:{self._server.port}"

    def start(self) -> None:
        """Start answering requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and release the port. Works even if the server was never started."""
        if self._thread.is_alive():
            self._server.shutdown()  # would block for ever on a server that never ran
            self._thread.join()
        self._server.server_close()


def _listen(port: int) -> socket.socket:
    # Bind here, because the base class prints errors of its own and accepts port numbers above 65535.
    if not 0 <= port <= _LAST_PORT:
        raise LocalError("Invalid port.", "Ports are 1 to 65535. 0 means any free port.")
    try:
        return socket.create_server((HOST, port), backlog=ThreadedWSGIServer.request_queue_size)
    except PermissionError:
        raise LocalError(f"This user may not use port {port}.", "Choose a --port above 1023.") from None
    except OSError:
        raise LocalError(
            f"Port {port} is in use.", "Stop the program there (another `keyturn up`?) or choose another --port."
        ) from None
