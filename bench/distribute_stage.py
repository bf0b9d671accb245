"""The setting of the group row: one group, three devices, several `distribute` workers that are killed at random.

The store, its outbox and the workers' processes are real. When a worker is killed, its message is delivered again
after its lease has expired.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING, cast

from keyturn.adapters.sqlite.outbox import DeliveryPolicy, Outbox
from keyturn.domain.model import ClientKind
from keyturn.domain.policy import Policy
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION as UNSAFE
from keyturn.ports.store import Query, scan
from keyturn.records import paths

from bench.light_device import LightDevice, agree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from keyturn.adapters.sqlite.outbox import Depth
    from keyturn.adapters.sqlite.store import SqliteStore

GROUP = "ops"
PEOPLE = ("alice", "bob", "carol")
PATIENCE = DeliveryPolicy(lease_seconds=4.0, longest_delay_seconds=1.0)
POLICY = Policy(minimum_not_before_seconds=0, requests_per_hour_per_client=1000, requests_per_hour_per_requester=1000)
WAIT_SECONDS = 120.0
POLL_SECONDS = 0.01
WINDOW = 12
"""How many messages may wait while more rotations are asked for: enough for all workers to want the group at once."""


class UnfinishedError(Exception):
    """Not every requested rotation was delivered in time."""


def settings(folder: Path) -> Settings:
    """Return the settings of the stage and of its workers."""
    return Settings(Stage.LOCAL, folder, policy=POLICY, authoriser=UNSAFE)


@dataclass(frozen=True, slots=True)
class Sent:
    """The result: `attempted` commits of the group's state by the workers, `batches` that won, `kills`.

    `opened` counts, by device, how often it opened the notice of each rotation.
    """

    requested_ids: frozenset[str]
    opened_rotations: tuple[Counter[str], ...]
    attempted: int
    batches: int
    kills: int
    dead: int
    agree: bool

    @property
    def each_once(self) -> bool:
        """Whether each device opened one notice of each rotation, and no other."""
        return all(opened_rotations == Counter(self.requested_ids) for opened_rotations in self.opened_rotations)

    @property
    def commits_a_batch(self) -> float:
        """How many commits of the group's state were attempted for each that won."""
        return self.attempted / self.batches


@dataclass
class Workers:
    """The workers' processes. `counts_folder` holds their counts."""

    data: Path
    counts_folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0

    def start(self) -> None:
        """Start one more."""
        self.started += 1
        command = [
            sys.executable,
            "-m",
            "bench.distribute_worker",
            *map(str, (self.data, self.counts_folder / str(self.started))),
        ]
        self.running.append(subprocess.Popen(command))  # noqa: S603 - this very package

    def kill(self, number: int) -> None:
        """Kill one (SIGKILL), whatever it is doing."""
        worker = self.running.pop(number)
        worker.kill()
        worker.wait()

    @property
    def attempted(self) -> int:
        """How many commits of the group all of them attempted."""
        return sum(file.stat().st_size for file in self.counts_folder.iterdir())


@contextmanager
def at_work(data: Path, counts_folder: Path, count: int) -> Iterator[Workers]:
    """Run so many workers while the context lasts."""
    counts_folder.mkdir()
    workers = Workers(data, counts_folder)
    try:
        for _ in range(count):
            workers.start()
        yield workers
    finally:
        while workers.running:
            workers.kill(0)


def send(folder: Path, *, rotations: int, workers: int, kills: int, seed: int) -> Sent:
    """Rotate so many clients of one group, a few at a time, while workers are killed and replaced at random."""
    (folder / "data").mkdir(mode=0o700)
    suite = Suite(settings(folder / "data"))
    devices = _founded(suite)
    clients = [f"client-{number:05d}" for number in range(rotations)]
    for client_id in clients:
        suite.operator.administration.add_client(client_id, ClientKind.X_API_KEY, [GROUP], {})
    before = suite.databases.control.get([paths.group(GROUP)])[paths.group(GROUP)].data or {}
    killing = Random(seed).sample(range(rotations), kills)  # noqa: S311 - which worker dies when, repeatably
    with at_work(folder / "data", folder / "counted", workers) as running:
        requested_ids = _asked(suite, devices, clients, running, frozenset(killing))
        _wait_until(suite, at_most=0)
    for device in devices:
        device.catch_up(suite)
    return Sent(
        requested_ids=frozenset(requested_ids),
        opened_rotations=tuple(Counter(device.opened_rotations) for device in devices),
        attempted=running.attempted,
        batches=_commits(suite, cast("int", before["next_index"])),
        kills=kills,
        dead=_depth(suite).dead,
        agree=agree(devices),
    )


def _founded(suite: Suite) -> list[LightDevice]:
    suite.operator.administration.create_group(GROUP)
    devices = [LightDevice(GROUP) for _ in PEOPLE]
    for user, device in zip(PEOPLE, devices, strict=True):
        device.join(suite, user)
        device.catch_up(suite)
    return devices


def _asked(
    suite: Suite, devices: list[LightDevice], clients: list[str], workers: Workers, killing: frozenset[int]
) -> list[str]:
    requested_ids = []
    for number, (client_id, device) in enumerate(zip(clients, cycle(devices), strict=False)):
        rotation_id, event = device.request(client_id)
        suite.commands.accept_event(event)
        requested_ids.append(rotation_id)
        if number in killing:
            workers.kill(number % len(workers.running))
            workers.start()
        _wait_until(suite, at_most=WINDOW)
    return requested_ids


def _wait_until(suite: Suite, *, at_most: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while (depth := _depth(suite)).waiting + depth.leased > at_most:
        if time.monotonic() > deadline:
            raise UnfinishedError
        time.sleep(POLL_SECONDS)


def _depth(suite: Suite) -> Depth:
    return Outbox(cast("SqliteStore", suite.databases.control).file).depth()


def _commits(suite: Suite, since: int) -> int:
    query = Query(paths.messages(GROUP), order_by="index", at_least=since)
    entries: list[Mapping[str, object]] = [item.data or {} for item in scan(suite.databases.control, query)]
    return sum(entry["kind"] == "commit" for entry in entries)
