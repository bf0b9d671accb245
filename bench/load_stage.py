"""The setting of load: a running suite, groups of a few devices, and rotations that are requested at once.

The store, its triggers and the bus are real: SQLite with its outbox, or Google's emulators. The calls of the MAC key
and the attempted commits of `control` are counted.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import cycle
from typing import TYPE_CHECKING, Any, cast

from keyturn.domain.errors import Conflict, RateLimited
from keyturn.domain.model import ClientKind
from keyturn.domain.policy import Policy
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.machine import FolderBackend, run_suite
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION as UNSAFE
from keyturn.ports.store import Replace
from keyturn.records import paths

from bench.light_device import LightDevice
from bench.rotation_stage import NEVER_SECONDS, TooLateError, own_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime
    from pathlib import Path

    from keyturn.entry.composition.foundation import Keys
    from keyturn.entry.composition.suite import Suite
    from keyturn.local.machine import Backend
    from keyturn.ports.bus import Bus
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Snapshot, Store, Write

POLICY = Policy(
    minimum_not_before_seconds=0,
    minimum_interval_seconds=0,
    requests_per_hour_per_client=1000,
    requests_per_hour_per_requester=1000,
)
REQUESTS_AT_ONCE = 8
REQUESTERS = 4
"""How many people request in turn: each may request 1,000 rotations an hour at most."""
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 300.0
HOUR_MILLISECONDS = 3_600_000


class AckedBy(StrEnum):
    """How a rotation is acknowledged: not at all, by a signed event, or by one inside MLS."""

    NOTHING = "nothing"
    EVENT = "event"
    ENVELOPE = "envelope"


@dataclass
class Counts:
    """Calls of the MAC key, attempted commits of `control`, attempts that write a group, and refusals for a rate."""

    mac_calls: int = 0
    commits: int = 0
    group_commits: int = 0
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **counts: int) -> None:
        """Add to some of the counts, from any thread."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


class _Wrapper:
    """Stands before a part of the suite."""

    def __init__(self, inner: object, counts: Counts) -> None:
        self._inner = inner
        self._counts = counts

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever stands behind
        return getattr(self._inner, name)


class _CountedStore(_Wrapper):
    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        changes_group = any(isinstance(item, Replace) and _is_group(item.path) for item in writes)
        self._counts.add(commits=1, group_commits=int(changes_group))
        return cast("Store", self._inner).commit(writes, basis=basis)


class _CountedMac(_Wrapper):
    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        self._counts.add(mac_calls=1)
        return cast("MacKey", self._inner).sign(mac_key_ref, data)


class _CountedKeys(_Wrapper):
    @property
    def mac(self) -> MacKey:
        return cast("MacKey", _CountedMac(cast("Keys", self._inner).mac, self._counts))


class HeldBus(_Wrapper):
    """A bus that can hold messages back, so that all rotations wait before the first one is distributed."""

    def __init__(self, inner: Bus, counts: Counts) -> None:
        super().__init__(inner, counts)
        self._held: list[tuple[str, Mapping[str, str]]] | None = None
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Hold all messages from now on."""
        with self._lock:
            self._held = []

    def release(self, count: int) -> None:
        """Wait until so many messages are held, and publish them."""
        _wait(lambda: len(self._held or ()) >= count)
        with self._lock:
            held, self._held = self._held or [], None
        for topic, message in held:
            self.publish(topic, message)

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        """Publish a message, or hold it."""
        with self._lock:
            if self._held is not None:
                self._held.append((topic, message))
                return
        cast("Bus", self._inner).publish(topic, message)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Rotations that were delivered: how long that took, the counts, and how many batches the groups' logs have."""

    rotations: int
    seconds: float
    batches: int
    counts: Counts


@dataclass(frozen=True)
class LoadStage:
    """A running suite whose calls are counted, and the devices of each group."""

    suite: Suite
    counts: Counts
    bus: HeldBus
    requesters: Mapping[str, Sequence[LightDevice]]
    ackers: Mapping[str, LightDevice]

    def add_clients(self, prefix: str, count: int, groups: Sequence[str]) -> list[str]:
        """Add so many clients of these groups, and return their ids."""
        names = [f"{prefix}-{number:04d}" for number in range(count)]
        for name in names:
            self.suite.operator.administration.add_client(name, ClientKind.X_API_KEY, groups, {})
        return names

    def rotate(
        self,
        clients: Sequence[str],
        group: str,
        *,
        acked_by: AckedBy = AckedBy.NOTHING,
        grace_milliseconds: int = 0,
        are_held: bool = False,
    ) -> LoadResult:
        """Rotate all clients at once. The time runs until all are distributed.

        `are_held`: no rotation is distributed before all are requested, and the time runs from then on.
        """
        vars(self.counts).update(mac_calls=0, commits=0, group_commits=0, refused=0)
        first_index = self._next_index(group)
        if are_held:
            self.bus.hold()
        began = time.monotonic()
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            asked = [
                requester.request(name, grace_milliseconds, supersede=True)
                for name, requester in zip(clients, cycle(self.requesters[group]), strict=False)
            ]
            requests = [pool.submit(self._send, event) for _, event in asked]
            if are_held:
                for request in requests:
                    request.result()
                began = time.monotonic()
                self.bus.release(len(clients))
            seconds = self._follow(pool, group, [rotation_id for rotation_id, _ in asked], acked_by, began)
            for request in requests:
                request.result()
        return LoadResult(len(clients), seconds, self._batches(group, first_index), replace(self.counts))

    def _follow(
        self, pool: ThreadPoolExecutor, group: str, rotation_ids: Sequence[str], acked_by: AckedBy, began: float
    ) -> float:
        """Acknowledge each rotation as soon as it is distributed. Return when all were, in seconds since `began`."""
        device, waiting = self.ackers[group], set(rotation_ids)
        acks: list[tuple[str, Future[None]]] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting:
            if time.monotonic() > deadline:
                raise TooLateError
            time.sleep(POLL_SECONDS)
            device.catch_up(self.suite)
            arrived = waiting & device.notices.keys()
            waiting -= arrived
            for rotation_id in arrived if acked_by is not AckedBy.NOTHING else ():
                ack = device.acknowledgement(rotation_id, in_envelope=acked_by is AckedBy.ENVELOPE)
                acks.append((rotation_id, pool.submit(self._send, ack)))
        seconds = time.monotonic() - began
        for rotation_id, sent in acks:
            self._finish(device, rotation_id, sent)
        return seconds

    def _finish(self, device: LightDevice, rotation_id: str, sent: Future[None]) -> None:
        """Wait for an acknowledgement. One of a past epoch is made anew after catching up, as devices do.

        A batch is an epoch, and only messages of the last three epochs can be received.
        """
        try:
            sent.result()
        except Conflict as refusal:
            if refusal.reason != "stale_epoch":
                raise
            device.catch_up(self.suite)
            self._send(device.acknowledgement(rotation_id, in_envelope=True))

    def _send(self, body: bytes) -> None:
        while True:
            try:
                self.suite.commands.accept(body)
            except RateLimited as refusal:
                self.counts.add(refused=1)
                time.sleep(refusal.retry_after_seconds or 1)
            else:
                return

    def _next_index(self, group: str) -> int:
        path = paths.group(group)
        return self.suite.databases.control.get([path])[path].integer("next_index")

    def _batches(self, group: str, first_index: int) -> int:
        log_paths = [paths.message(group, index) for index in range(first_index, self._next_index(group))]
        kinds = (item.text("kind") for item in self.suite.databases.control.get(log_paths).documents.values())
        return sum(kind == "commit" for kind in kinds)


@contextmanager
def raised(folder: Path, groups: Sequence[str], backend: Backend | None = None) -> Iterator[LoadStage]:
    """Run the suite in `folder`, or on another backend, with a few devices in each group, while the context lasts."""
    chosen = backend or FolderBackend(
        lambda url: Settings(Stage.LOCAL, folder / "data", url, policy=POLICY, authoriser=UNSAFE), NEVER_SECONDS
    )
    with own_environment(folder / "state"), run_suite(chosen, 0, NEVER_SECONDS) as started:
        counts = Counts()
        bus = HeldBus(started.bus, counts)
        databases = replace(started.databases, control=cast("Store", _CountedStore(started.databases.control, counts)))
        keys = cast("Keys", _CountedKeys(started.keys, counts))
        suite = replace(started, overrides=Overrides(databases=databases, bus=bus, keys=keys))
        wiring.use(suite)
        for group in groups:
            suite.operator.administration.create_group(group)
        requesters = {group: [_joined(suite, f"requester-{n}", group) for n in range(REQUESTERS)] for group in groups}
        ackers = {group: _joined(suite, "acknowledger", group) for group in groups}
        yield LoadStage(suite, counts, bus, requesters, ackers)


def _joined(suite: Suite, user: str, group: str) -> LightDevice:
    device = LightDevice(group)
    device.join(suite, user)
    return device


def _is_group(path: str) -> bool:
    return path.startswith(f"{paths.GROUPS}/") and path.count("/") == 1


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise TooLateError
        time.sleep(POLL_SECONDS)
