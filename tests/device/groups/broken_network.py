"""A network that fails around one call, and a device that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.device.core.errors import UnreachableError
from keyturn.device.device import Device
from keyturn.device.home.home import Home

from tests.world import URL, Clock

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse

    from tests.service import Service


class DeadLine:
    """A network that takes what is sent and dies: before the server sees it, or before the device sees the answer."""

    def __init__(self, server: Service, *, arrives: bool) -> None:
        self.server = server
        self.arrives = arrives
        self.cut = True
        self.sent: list[bytes] = []

    def send(self, call: HttpRequest) -> HttpResponse:
        if not (self.cut and call.url.endswith("/rotate_request/")):
            return self.server.send(call)
        self.sent.append(call.body or b"")
        if self.arrives:
            self.server.send(call)
        raise UnreachableError("The server does not answer.", "")


def over(line: DeadLine, folder: Path, clock: Clock) -> Device:
    return Device.open(
        Home.open(folder / "alice", "passphrase"), URL, transport=line, now=clock, sleep=lambda _seconds: None
    )
