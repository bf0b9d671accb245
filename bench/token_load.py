"""A load generator: one request, repeated on a few persistent connections, from a core that the server does not use.

It reads answers as bytes and looks at their first line and length only. So it is several times faster than any server
under test, and the server is the bottleneck.
"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass, field

_END = b"\r\n\r\n"
_OK, _EMPTY = b"HTTP/1.1 200 ", b"HTTP/1.1 204 "
_LENGTH = b"content-length:"
_PIECE = 65_536
_SILENCE_SECONDS = 10.0


class UnlikeAnswerError(Exception):
    """A server refused, fell silent or hung up: there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Window:
    """How many answers came, in how many seconds of the wall clock and of the serving process's processor time."""

    answer_count: int
    wall: float
    processor: float


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has spent until now, in seconds."""
    return time.clock_gettime(~process << 3 | 2)  # Linux: the clock of another process, by its number


@dataclass(slots=True)
class Connection:
    """One persistent connection, waiting for the answer to its request."""

    request: bytes = field(repr=False)
    socket: socket.socket
    received: bytes = b""

    def ask(self) -> None:
        """Send the request."""
        self.received = b""
        self.socket.sendall(self.request)

    def take(self) -> bool:
        """Read received bytes. Return whether the answer is complete. Raises `UnlikeAnswerError` for a failure."""
        piece = self.socket.recv(_PIECE)
        self.received += piece
        head, end, body = self.received.partition(_END)
        if not piece or self.received[: len(_OK)] not in {expected[: len(self.received)] for expected in (_OK, _EMPTY)}:
            raise UnlikeAnswerError
        # RFC 9110 §15.3.5: a 204 has no body, and so no length.
        return bool(end) and (head.startswith(_EMPTY) or len(body) >= _length(head))


@dataclass(slots=True)
class Load:
    """Several connections to one server, kept over all windows."""

    port: int
    request: bytes = field(repr=False)
    connections: int
    server: int
    """The process that serves."""
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def open(self) -> None:
        """Connect, and send one request on each connection."""
        for _ in range(self.connections):
            raw = socket.create_connection(("127.0.0.1", self.port), _SILENCE_SECONDS)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(raw, selectors.EVENT_READ, Connection(self.request, raw))

    def window(self, seconds: float) -> Window:
        """Send requests for `seconds` and return the result. Raises `UnlikeAnswerError`."""
        processor_before, began = processor_seconds(self.server), time.perf_counter()
        answer_count = self._asked(began + seconds)
        return Window(answer_count, time.perf_counter() - began, processor_seconds(self.server) - processor_before)

    def _asked(self, until: float) -> int:
        for key in self._selector.get_map().values():
            key.data.ask()
        open_connections, answer_count = self.connections, 0
        while open_connections:
            ready = self._selector.select(_SILENCE_SECONDS)
            if not ready:
                raise UnlikeAnswerError
            for key, _ in ready:
                if not key.data.take():
                    continue
                answer_count += 1
                if time.perf_counter() < until:
                    key.data.ask()
                else:
                    open_connections -= 1
        return answer_count

    def close(self) -> None:
        """Hang up."""
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    raise UnlikeAnswerError
