"""People with devices in front of the real doors, whose network may die and who hear what their devices tell."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UnreachableError
from keyturn.device.device import Device
from keyturn.device.home.home import Home

from tests.world import CHEAP, GROUP, URL, WorldTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse
    from keyturn.device.groups.membership import DeviceMembership
    from keyturn.device.incidents import Incident

    from tests.world import World


class Line(WorldTransport):
    """A way to the doors that can be cut: before a command arrives, or before its answer does."""

    def __init__(self) -> None:
        self.cut_before = False
        self.cut_after = False
        self.commands: list[bytes] = []

    def send(self, call: HttpRequest) -> HttpResponse:
        command = call.url.endswith("/rotate_request/")
        if command:
            self.commands.append(call.body or b"")
        if command and self.cut_before:
            raise UnreachableError("Nobody answers.", "")
        answer = super().send(call)
        if command and self.cut_after:
            raise UnreachableError("Nobody answers.", "")
        return answer


@dataclass
class Person:
    """A person with a device. `again` does what a restart of the program does."""

    world: World
    user: str
    line: Line = field(default_factory=Line)
    heard: list[Incident] = field(default_factory=list)

    def __post_init__(self) -> None:
        Home.create(self.folder, self.user, "passphrase", cost=CHEAP, counter_folder=self.state)
        self.again()

    @property
    def folder(self) -> Path:
        return self.world.folder / "people" / self.user

    @property
    def state(self) -> Path:
        return self.world.folder / "state" / self.user

    def again(self) -> None:
        home = Home.open(self.folder, "passphrase", counter_folder=self.state)
        self.device = Device.open(
            home,
            URL,
            transport=self.line,
            now=self.world.clock,
            random=os.urandom,
            sleep=lambda _seconds: None,
            observe=self.heard.append,
        )

    def join(self, group: str = GROUP) -> Person:
        self.device.join(self.world.invite(self.user, group))
        return self

    @property
    def seat(self) -> DeviceMembership:
        return self.device.memberships()[0]

    @property
    def npub(self) -> str:
        return self.device.context.signer.public_key

    @property
    def told(self) -> list[str]:
        return [incident.sentence for incident in self.heard]

    def log(self, after: int = 0) -> Sequence[dict[str, object]]:
        """Return the group's log as the server shows it to this person: a page."""
        return answers.mappings(self.device.context.api.messages(self.device.context.signer, GROUP, after), "messages")


def is_in_step(world: World, person: Person) -> bool:
    """Return whether a person's device and the service are in the same epoch, with the same keys."""
    session = world.suite.groups.open(world.document(f"mls_groups/{GROUP}"), world.clock())
    return bool(session._group.epoch_authenticator == person.seat.group.epoch_authenticator)  # type: ignore[attr-defined]  # the real one
