"""ASGI middleware (ASGI 3.0, HTTP): only requests with a good credential reach the application behind it.

The verifier's calls block (a store, a key service), so they run in a thread; what is kept costs microseconds there.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.verifier.failure_limits import source_of
from keyturn.verifier.middleware.credentials import Denied, takes_form
from keyturn.verifier.middleware.notices import notices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from keyturn.verifier.middleware.credentials import Guard

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

VERDICT: Final = "keyturn.verdict"
"""Where in the scope's `state` the application finds the verdict."""


@dataclass(frozen=True, slots=True)
class AsgiGuard:
    """Stands before `app`; a websocket is closed unasked. The source of a request is the scope's `client`."""

    app: App
    guard: Guard

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on with its verdict."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = header_map(scope["headers"])
        form, again = await _form(scope["method"], headers, receive)
        address = (scope.get("client") or ("",))[0]
        decided = await asyncio.to_thread(self.guard.decide, headers, form, source_of(address))
        if isinstance(decided, Denied):
            await _deny(decided, send)
            return
        said = [(name.lower().encode(), value.encode()) for name, value in notices(decided)]

        async def noticing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *said]}
            await send(message)

        state = {**scope.get("state", {}), VERDICT: decided}
        await self.app({**scope, "state": state}, again, noticing)


def header_map(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; one that comes twice is joined, so that it is good for nothing."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


async def _form(method: str, headers: dict[str, str], receive: Receive) -> tuple[bytes, Receive]:
    length = headers.get("content-length", "0")
    size = int(length) if length.isascii() and length.isdigit() else 0
    if not takes_form(method, headers.get("content-type", ""), size):
        return b"", receive
    read: list[Message] = [await receive()]
    while read[-1].get("more_body"):
        read.append(await receive())
    waiting = iter(read)

    async def again() -> Message:
        message = next(waiting, None)
        return message if message is not None else await receive()

    return b"".join(message.get("body", b"") for message in read), again


async def _deny(denied: Denied, send: Send) -> None:
    body = json.dumps({"error": denied.error}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("cache-control", "no-store")]
    said = [(name.lower().encode(), value.encode()) for name, value in (*headers, *denied.headers)]
    await send({"type": "http.response.start", "status": denied.status, "headers": said})
    await send({"type": "http.response.body", "body": body})
