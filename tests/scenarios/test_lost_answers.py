"""Connections that are cut after the service has committed: a device repeats each request, and it counts once."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.device.core.errors import UnreachableError
from keyturn.device.core.signed_events import EventSigner
from keyturn.device.device import Device
from keyturn.device.home.home import Home

from tests.world import CHEAP, CLIENT, URL, Admin, WorldTransport, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse

    from tests.world import World


@dataclass
class LossyTransport:
    """A transport that loses the next answers to what is posted, `left` of them. A challenge changes nothing."""

    left: int = 0
    transport: WorldTransport = field(default_factory=WorldTransport)

    def send(self, call: HttpRequest) -> HttpResponse:
        response = self.transport.send(call)
        if call.method == "POST" and not call.url.endswith("/challenge") and self.left:
            self.left -= 1
            raise UnreachableError("The server does not answer.", "Try again.")
        return response


@dataclass
class Person:
    """A person who runs a command again after it has failed."""

    admin: Admin
    transport: LossyTransport
    losses: int

    def run(self, command: Callable[[], object]) -> Any:  # noqa: ANN401 - what the command returns
        self.transport.left = self.losses
        with suppress(UnreachableError):
            return command()
        assert self.transport.left == 0
        return command()


def person(world: World, user: str, losses: int) -> Person:
    home, transport = Home.create(world.folder / "homes" / user, user, "passphrase", cost=CHEAP), LossyTransport()
    device = Device.open(
        home, URL, transport=transport, now=world.clock, random=os.urandom, sleep=lambda _seconds: None
    )
    made = Person(Admin(user, device, EventSigner(home.private_key(), world.clock, os.urandom)), transport, losses)
    made.run(partial(device.join, world.invite(user)))
    return made


def history(folder: Path, losses: int) -> tuple[object, ...]:
    """Return what is audited of a rotation and other commands, if each loses so many answers."""
    with running(folder / str(losses)) as world:
        world.found()
        alice, bob = (person(world, user, losses) for user in ("alice", "bob"))
        rotation_id = alice.admin.device.new_id()
        alice.run(partial(alice.admin.device.rotate, CLIENT, "it is time", rotation_id=rotation_id))
        world.pump()
        bob.admin.device.catch_up()
        acknowledged = bob.run(partial(bob.admin.device.ack, rotation_id))
        for action in ("suspend", "resume", "suspend"):
            alice.run(partial(alice.admin.device.command, action, CLIENT, {}, "an incident"))
        entries = [world.document(path) for path in sorted(world.documents()) if "/audit/" in path]
        client = world.document(f"oauth2_clients/{CLIENT}")
        actions = [(entry["action"], entry["reason"]) for entry in entries]
        return actions, client["status"], cast("dict[str, object]", acknowledged)["outcome"]


@pytest.mark.parametrize("losses", [1, 3], ids=["repeated by the same run", "repeated by the next run"])
def test_lost_answers_change_no_history(losses: int, tmp_path: Path) -> None:
    assert history(tmp_path, losses) == history(tmp_path, 0)
