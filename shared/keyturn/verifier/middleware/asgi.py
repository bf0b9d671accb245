"""ASGI middleware (ASGI 3.0, HTTP): only requests with a valid credential reach the application.

A check may call a store and a key service, which blocks, so it runs in a thread. A kept verdict costs microseconds.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.verifier.failure_limits import source_of
from keyturn.verifier.middleware.credentials import Denial, may_hold_form
from keyturn.verifier.middleware.response_headers import response_headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from keyturn.verifier.middleware.credentials import Guard

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

VERDICT: Final = "keyturn.verdict"
"""The key under which the application finds the verdict in the scope's `state`."""


@dataclass(frozen=True, slots=True)
class AsgiGuard:
    """Guards `app`, and closes websockets unanswered. A request's source is the scope's `client`."""

    app: App
    guard: Guard

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on with its verdict."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._handle_http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # RFC 6455 §7.4.1: policy violation

    async def _handle_http(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = header_map(scope["headers"])
        form, receive_again = await _read_form(scope["method"], headers, receive)
        address = (scope.get("client") or ("",))[0]
        verdict = await asyncio.to_thread(self.guard.decide, headers, form, source_of(address))
        if isinstance(verdict, Denial):
            await _answer(verdict, send)
            return
        added = [(name.lower().encode(), value.encode()) for name, value in response_headers(verdict)]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        state = {**scope.get("state", {}), VERDICT: verdict}
        await self.app({**scope, "state": state}, receive_again, send_with_headers)


def header_map(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name. A header that comes twice is joined, so that it holds no credential."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


async def _read_form(method: str, headers: dict[str, str], receive: Receive) -> tuple[bytes, Receive]:
    """Return a body that may hold a form, and a `receive` with which the application reads it again."""
    length = headers.get("content-length", "0")
    size = int(length) if length.isascii() and length.isdigit() else 0
    if not may_hold_form(method, headers.get("content-type", ""), size):
        return b"", receive
    messages: list[Message] = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    unread = iter(messages)

    async def receive_again() -> Message:
        message = next(unread, None)
        return message if message is not None else await receive()

    return b"".join(message.get("body", b"") for message in messages), receive_again


async def _answer(denial: Denial, send: Send) -> None:
    body = json.dumps({"error": denial.error}).encode()
    own = [("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store")]
    headers = [(name.lower().encode(), value.encode()) for name, value in (*own, *denial.headers)]
    await send({"type": "http.response.start", "status": denial.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
