"""Calls functions over HTTP: one POST per event, which succeeds or fails for a reason."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUCCESS = range(200, 300)


class FunctionClient:
    """Calls `base_url`/<function>/ with `headers`. Idle connections are reused, each by one call at a time.

    One call may take `timeout_seconds`. ValueError unless the address is http: events stay on this machine.
    """

    def __init__(self, base_url: str, timeout_seconds: float, headers: Mapping[str, str]) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError("the functions' address must be an http URL, as events stay on this machine")
        self._address = (parts.hostname, parts.port or 80)
        self._root = parts.path.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._headers = dict(headers)
        self._idle: list[HTTPConnection] = []

    def call(self, function: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return None on success (2xx), otherwise the reason: a status or an error class, nothing of the response."""
        try:
            status = self._post(function, headers, body)
        except (OSError, HTTPException, ValueError) as error:
            return type(error).__name__
        return None if status in _SUCCESS else f"HTTP {status}"

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _post(self, function: str, headers: Mapping[str, str], body: bytes) -> int:
        if self._idle:
            # The server may have closed an idle connection. That is no response to this call, so use a new one.
            with suppress(ConnectionError, IndexError):
                return self._exchange(self._idle.pop(), function, headers, body)
        connection = HTTPConnection(*self._address, timeout=self._timeout_seconds)
        return self._exchange(connection, function, headers, body)

    def _exchange(self, connection: HTTPConnection, function: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            connection.request("POST", f"{self._root}/{quote(function)}/", body, {**self._headers, **headers})
            response = connection.getresponse()
            response.read()  # a connection can be reused only after its response was read completely
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response.status
