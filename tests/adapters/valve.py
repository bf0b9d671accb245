"""A valve in a connection: what the server answers can be held back after it did what was asked, and the line cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Valve:
    """A TCP relay to `host` (`address:port`); `held` withholds every byte of an answer, `cut` ends all connections."""

    def __init__(self, host: str) -> None:
        address, _, port = host.partition(":")
        self._target = (address, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.held = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:  # noqa: FBT001 - a direction
        with source, suppress(OSError):
            while data := source.recv(65536):
                if not (answers and self.held.is_set()):
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
