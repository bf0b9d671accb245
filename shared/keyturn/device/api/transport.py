"""HTTP as this device needs it: one request out, one answer in, over a port that tests can stand in for.

No redirect is followed and no proxy asked: a proof or a token goes where the user said, or nowhere.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from keyturn.device.core.errors import InsecureAddressError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""What a page of the log may come to: 100 commits of a large group, and much to spare."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: method, full URL, headers and body. What may be secret stays out of the repr."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Carries a call to its server."""

    def send(self, call: Call) -> Answer:
        """Return the answer, whatever its status; `UnreachableError` if there is none."""
        ...


class UrlTransport:
    """Carries calls over HTTP/1.1, a connection each."""

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds

    def send(self, call: Call) -> Answer:
        """Return the answer; `UnreachableError` if there is none in time, or one that is no HTTP or too long."""
        parts = urlsplit(call.url)
        connection = self._connection(parts)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(call.method, target, body=call.body, headers=dict(call.headers))
            return _answer(connection.getresponse())
        except (OSError, http.client.HTTPException):
            # Outside of what the port promises; and what the library says may quote a header.
            raise UnreachableError(
                "The server does not answer.", "Is `keyturn up` running, and is --url its address?"
            ) from None
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self._timeout_seconds)


def checked_address(url: str) -> str:
    """Return a base URL without a trailing slash.

    `UsageError` if it is none; `InsecureAddressError` for plain HTTP to anything but this machine.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or parts.username is not None:
        raise UsageError("The server's address is no base URL.", "Write it as http://127.0.0.1:8787.")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InsecureAddressError(
            "Plain HTTP to another machine would carry secrets in clear.", "Use an https:// address."
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761 §6.3


def _answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise http.client.HTTPException
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)
