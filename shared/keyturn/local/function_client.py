"""The doors behind one address, as their callers see them: a POST that was taken, or why not."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUCCESS = range(200, 300)


class FunctionClient:
    """Calls `base_url`/<door>/; `headers` go with every call. A connection is kept and serves one at a time.

    `timeout_seconds` bounds one call. ValueError for anything but an http address: delivery stays on one machine.
    """

    def __init__(self, base_url: str, timeout_seconds: float, headers: Mapping[str, str]) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError("the doors' address is an http URL: delivery stays on one machine")
        self._address = (parts.hostname, parts.port or 80)
        self._root = parts.path.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._headers = dict(headers)
        self._idle: list[HTTPConnection] = []

    def call(self, door: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return None when the door took the call, and else why not, in words that hold nothing of the answer."""
        try:
            status = self._post(door, headers, body)
        except (OSError, HTTPException, ValueError) as error:
            return type(error).__name__
        return None if status in _SUCCESS else f"HTTP {status}"

    def close(self) -> None:
        """Close the connections that no call uses."""
        while self._idle:
            self._idle.pop().close()

    def _post(self, door: str, headers: Mapping[str, str], body: bytes) -> int:
        if self._idle:
            # The door's server may have closed an idle connection: that is no answer to this call, so call anew.
            with suppress(ConnectionError, IndexError):
                return self._exchange(self._idle.pop(), door, headers, body)
        connection = HTTPConnection(*self._address, timeout=self._timeout_seconds)
        return self._exchange(connection, door, headers, body)

    def _exchange(self, connection: HTTPConnection, door: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            connection.request("POST", f"{self._root}/{quote(door)}/", body, {**self._headers, **headers})
            response = connection.getresponse()
            response.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response.status
