"""People with real devices, in front of the simulated network."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keyturn.device.api.client import HttpResponse
from keyturn.device.core.errors import DeviceError, ServerRefusedError, UnreachableError
from keyturn.device.device import Device
from keyturn.device.groups.inbox import INBOX
from keyturn.device.home.errors import HomeError
from keyturn.device.home.home import Home
from keyturn.device.home.sealed_files import ScryptCost
from keyturn.domain.errors import Refusal

from tests.simulation.deployment import BASE_URL
from tests.simulation.faults import OF_COMMITS, OF_EVENTS, OF_PROCESSES, Armed, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest
    from keyturn.device.groups.inbox import Notice

    from tests.simulation.deployment import Deployment
    from tests.simulation.oracle import Oracle

CHEAP = ScryptCost(n=2**4)
PASSPHRASE = "correct horse"
_TRAVELS = OF_COMMITS | OF_PROCESSES | OF_EVENTS | {Fault.ANSWER_LOST}


@dataclass(frozen=True)
class Outcome:
    """What a person got for one act: the answer of the service, or the reason of the refusal."""

    status: int
    reason: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_accepted(self) -> bool:
        return self.status == 200


@dataclass(eq=False)
class Person:
    """An admin with one device. One act at a time. `offset_seconds` is how wrong the device's clock is."""

    deployment: Deployment
    oracle: Oracle
    user: str
    folder: Path
    offset_seconds: float = 0.0
    armed: Armed | None = None
    is_busy: bool = False
    posted_at: list[float] = field(default_factory=list)
    """When the device posted each command."""
    bodies: list[bytes] = field(default_factory=list)
    """What this device posted: the network may repeat it."""
    device: Device = field(init=False)
    _shown: set[str] = field(default_factory=set)

    @property
    def home(self) -> Path:
        return self.folder / "homes" / self.user

    def create(self) -> None:
        """Create the device."""
        random = self.deployment.random.randbytes
        Home.create(self.home, self.user, PASSPHRASE, random, cost=CHEAP, counter_folder=self._counter)
        self.open()

    @property
    def _counter(self) -> Path:
        return self.folder / "counters" / self.user

    def open(self) -> Person:
        """Start the device's program."""
        random = self.deployment.random.randbytes
        home = Home.open(self.home, PASSPHRASE, random, counter_folder=self._counter)
        self.device = Device.open(
            home, BASE_URL, transport=self, now=self.now, random=random, sleep=self.deployment.scheduler.sleep
        )
        return self

    def now(self) -> datetime:
        """Return the time that the device shows."""
        return self.deployment.true_time() + timedelta(seconds=self.offset_seconds)

    # --- faults of a device ------------------------------------------------------------------------------------------

    def restore(self, copy: Path) -> None:
        """Put an older copy of the home back."""
        shutil.rmtree(self.home)
        shutil.copytree(copy, self.home)
        self.open()

    def fork(self, folder: Path) -> Person:
        """Return the same device a second time, as a copied disk gives it."""
        twin = Person(self.deployment, self.oracle, self.user, folder)
        shutil.copytree(self.home, twin.home)
        return twin.open()

    # --- the network -------------------------------------------------------------------------------------------------

    def send(self, call: HttpRequest) -> HttpResponse:
        """Carry one request of the device."""
        parts = urlsplit(call.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        is_command = path == "/rotate_request/"
        armed = self.armed if is_command else None
        travelling = armed if armed is not None and armed.kind in _TRAVELS else None
        if is_command:
            self.show_secrets()  # before an acknowledgement can promote one of them
            self.bodies.append(call.body or b"")
            self.posted_at.append(self.deployment.scheduler.now)
        reply = self.deployment.request(call.method, path, call.body or b"", call.headers, armed=travelling)
        if reply is None:
            raise UnreachableError("The server does not answer.", "")
        if is_command:
            answer = json.loads(reply.body)
            npub = self.device.context.signer.public_key
            self.oracle.note_answer(event_id(call.body), reply.status, answer, self.deployment.scheduler.now, npub)
        return HttpResponse(reply.status, reply.headers, reply.body)

    # --- acts --------------------------------------------------------------------------------------------------------

    def act(self, what: str, perform: Callable[[Device], Mapping[str, Any]]) -> Outcome:
        """Do something with the device, and tell the oracle."""
        self.deployment.note(f"{self.user} {what}")
        try:
            outcome = Outcome(200, "", perform(self.device))
        except ServerRefusedError as error:
            outcome = Outcome(error.status, error.reason)
        except UnreachableError:
            outcome = Outcome(0, "no answer")
        except (DeviceError, HomeError, Refusal) as error:
            outcome = Outcome(-1, type(error).__name__)
        self.show_secrets()
        told = "accepted" if outcome.is_accepted else f"{outcome.status} {outcome.reason}"
        self.deployment.note(f"{self.user} {what}: {told}")
        return outcome

    def read_inbox(self) -> Outcome:
        """Follow the groups' logs, and show the oracle the secrets that the device opened."""

        def read(device: Device) -> Mapping[str, Any]:
            device.catch_up()
            return {}

        return self.act("reads the inbox", read)

    def show_secrets(self) -> None:
        """Show the oracle the secrets that the device has opened since the last time."""
        new = set(self.device.context.home.ids(INBOX)) - self._shown
        self._shown |= new
        for rotation_id in sorted(new):
            notice = self.device.notice(rotation_id)
            if notice.secret is not None:
                self.oracle.note_delivery(delivery_of(notice, self.user, self.deployment.scheduler.now))

    def acknowledge(self, rotation_id: str) -> Outcome:
        """Acknowledge a rotation."""
        self.read_inbox()
        return self.act(f"acknowledges {rotation_id}", lambda device: device.ack(rotation_id))


def event_id(body: bytes | None) -> str:
    """Return the id of a posted event."""
    return str(json.loads(body or b"{}").get("id"))


def delivery_of(notice: Notice, user: str, at: float) -> Mapping[str, Any]:
    """Return what a device learned from a notice."""
    names = ("rotation_id", "client_id", "version_id", "secret", "secret_hash", "mac_key_ref", "not_before")
    return {
        **{name: getattr(notice, name) for name in names},
        "grace_until": notice.grace_until,
        "user": user,
        "at": at,
    }
