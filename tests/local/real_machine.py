"""A real `keyturn up` in its own process, real devices in front of it, and somebody who kills it without a warning."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from keyturn.cli.operator_token import read_token
from keyturn.device.api.client import ApiClient, HttpRequest, HttpTransport
from keyturn.device.core.errors import UnreachableError
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.device.home.sealed_files import ScryptCost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from keyturn.device.api.client import HttpResponse

ROOT = Path(__file__).parents[2]
CHEAP = ScryptCost(n=2**4)
PATIENCE_SECONDS = 60.0
_PROGRAM = "from keyturn.cli.main import main; main()"


class PatientTransport:
    """Sends the very same call again until somebody answers: what a person with a dead server does."""

    def __init__(self, lost: threading.Event) -> None:
        self._transport = HttpTransport(timeout_seconds=20)
        self._lost = lost

    def send(self, call: HttpRequest) -> HttpResponse:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._transport.send(call)
            except UnreachableError:
                if time.monotonic() > deadline or self._lost.wait(0.05):
                    raise


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """`keyturn up` over one data folder at one port, however often it is started."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    lost: threading.Event = field(default_factory=threading.Event)
    """Set when it could not be started again: nobody waits for it any more."""
    options: Sequence[str] = ()
    prefix: Sequence[str] = ()
    """A program that runs `keyturn up`, and its arguments."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What `keyturn up` is given besides."""
    authoriser: str = "unsafe_no_attestation"
    """Most tests are about something else than proofs."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def environment(self) -> Mapping[str, str]:
        named = {"XDG_STATE_HOME": str(self.folder / "state"), "KEYTURN_AUTHORISER": self.authoriser}
        return {**os.environ, **named, **self.variables}

    def start(self) -> None:
        options = ["--quick", "--min-not-before", "0s", "--port", str(self.port), "--data", str(self.data)]
        options += self.options
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [*self.prefix, sys.executable, "-c", _PROGRAM, "up", *options],
                cwd=ROOT,
                env=dict(self.environment),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)  # a sweep that is under way is waited for, a minute at most

    def end(self) -> None:
        """Leave no process behind, whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def wait_until_up(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.answers():
            assert self.process is not None
            assert self.process.poll() is None, "keyturn up ended by itself"
            assert time.monotonic() < deadline, "keyturn up never answered"
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            HttpTransport(20).send(HttpRequest("GET", f"{self.url}/client_token/.well-known/jwks.json", {}, None))
        except UnreachableError:
            return False
        return True

    def operator(self, path: str, fields: Mapping[str, object]) -> Mapping[str, object]:
        token = read_token(self.url, self.environment)
        return ApiClient(self.url, PatientTransport(self.lost)).operator("POST", path, token, fields)

    def device(self, user: str, group: str) -> Device:
        """Enrol a person's device."""
        home = Home.create(self.folder / "homes" / user, user, "passphrase", cost=CHEAP)
        device = Device.open(home, self.url, transport=PatientTransport(self.lost))
        device.join(str(self.operator("/invites", {"user": user, "group_id": group})["code"]))
        return device


@dataclass
class Killer:
    """Kills the machine's process at random moments and starts it again, until told to stop or it has done enough.

    Lives are short, mostly; a long one comes by now and then, so that a slow machine gets on, too.
    """

    machine: Machine
    rng: Random
    mean_life_seconds: float = 0.6
    seconds: float = 40.0
    enough: int | None = None
    """So many kills, however long that takes. None: as many as the time allows."""
    kills: int = 0
    failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def is_done(self) -> bool:
        """Whether it killed often enough, or cannot go on."""
        return self.failure is not None or (self.enough is not None and self.kills >= self.enough)

    def _run(self) -> None:
        try:
            deadline = time.monotonic() + self.seconds
            while not self._stop.wait(self.rng.expovariate(1 / self.mean_life_seconds)):
                if self.is_done or (self.enough is None and time.monotonic() > deadline):
                    return
                self.machine.kill()
                self.kills += 1
                self.machine.start()
                self.machine.wait_until_up()
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's, told where it is joined
            self.failure = error
            self.machine.lost.set()


@dataclass(frozen=True)
class Held:
    """The secrets of one client that devices hold: the promoted one, and the one that may be promoted any time now."""

    current: str | None = field(default=None, repr=False)
    next: str | None = field(default=None, repr=False)


class Holdings:
    """What devices hold of each client; threads may share it."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()

    def of(self, client_id: str) -> Held:
        with self._lock:
            return self._held.get(client_id, Held())

    def clients(self) -> Sequence[str]:
        with self._lock:
            return tuple(self._held)

    def received(self, client_id: str, secret: str) -> None:
        """Note a secret before it is acknowledged: from then on it may be promoted at any time."""
        with self._lock:
            self._held[client_id] = Held(self._held.get(client_id, Held()).current, secret)

    def promoted(self, client_id: str) -> None:
        """Note that the one which was acknowledged is the current one now."""
        with self._lock:
            self._held[client_id] = Held(self._held[client_id].next)
