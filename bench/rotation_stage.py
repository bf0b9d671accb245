"""The setting of the rotation row: the real local machine in this process, three real devices, a watched store."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from keyturn.adapters.sqlite.bus import LocalBus
from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.cli.operator_token import read_token
from keyturn.device.api.client import ApiClient
from keyturn.device.core.signed_events import EventSigner, RotationRequest, rotation_event, utc_now
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.device.home.sealed_files import ScryptCost
from keyturn.domain.policy import Policy
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.machine import FolderBackend, run_suite
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION as UNSAFE
from keyturn.ports.store import Databases
from keyturn.records import paths

from bench.watched_store import WatchedStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.entry.composition.suite import Suite

    from bench.watched_store import StoreCall

GROUP = "ops"
ADMINS = ("alice", "bob", "carol")
POLICY = Policy(
    minimum_not_before_seconds=10,
    minimum_interval_seconds=0,
    requests_per_hour_per_client=1000,
    requests_per_hour_per_requester=1000,
)
NEVER_SECONDS = 3600.0
"""No sweep runs in between: only one rotation is measured."""
CHEAP = ScryptCost(n=2**4)
PASSPHRASE = "only for the bench"  # noqa: S105 - of devices that live as long as the run
"""A cheap passphrase hash: the cost of a device's passphrase is not measured here."""
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.06


class TooLateError(Exception):
    """Something that the suite was to do was not done in time."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way of one rotation: the commit that accepted it, the one that made its notice readable, what lies between.

    `answered_at` is when the requester had the answer (time.perf_counter, seconds). The notice can be read at `status`
    from the moment its commit returned.
    """

    answered_at: float
    accepting_commit: StoreCall
    readable: StoreCall
    between: tuple[StoreCall, ...]

    @property
    def milliseconds(self) -> float:
        """How long it took from the answer on."""
        return (self.readable.at - self.answered_at) * 1000

    @property
    def milliseconds_from_commit(self) -> float:
        """Milliseconds since the accepting commit. Delivery begins then, while the answer is being written."""
        return (self.readable.at - self.accepting_commit.at) * 1000


@dataclass(frozen=True, slots=True)
class RotationStage:
    """A running suite, its watched control store, and the first admin's device."""

    suite: Suite
    store: WatchedStore
    device: Device
    signer: EventSigner
    token: str

    def add(self, client_id: str) -> None:
        """Add a client."""
        fields: dict[str, object] = {"client_id": client_id, "groups": [GROUP]}
        ApiClient(self.suite.settings.base_url).operator("POST", "/clients", self.token, fields)
        self.settle()

    def rotate(self, client_id: str) -> Way:
        """Ask for a client's first secret, and return the way of that once all is delivered and was read."""
        self.store.calls.clear()
        # Made and signed before: what the device does on its own is not the suite's time.
        event = rotation_event(self.signer, _request(client_id, self.device.new_id()))
        rotation_id = str(ApiClient(self.suite.settings.base_url).post_event(event)["rotation_id"])
        answered_at = time.perf_counter()
        self.settle()
        if rotation_id not in {notice.rotation_id for notice in self.device.catch_up()}:
            raise TooLateError
        return _way(tuple(self.store.calls), rotation_id, answered_at)

    def settle(self) -> None:
        """Wait until the outbox is empty. Raises `TooLateError` after the deadline."""
        outbox, deadline = Outbox(self.store.file), time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)  # first of all: reading while a rotation is under way slows it down
            depth = outbox.depth()
            if not depth.waiting + depth.leased:
                return
        raise TooLateError


@contextmanager
def raised(folder: Path) -> Iterator[RotationStage]:
    """Run the suite in `folder`, with three devices in one group, while the context lasts."""
    backend = FolderBackend(lambda url: _settings(folder, url), NEVER_SECONDS)
    with own_environment(folder / "state"), run_suite(backend, 0, NEVER_SECONDS) as started:
        databases = started.databases
        watched = WatchedStore(cast("SqliteStore", databases.control).file.path)
        overrides = Overrides(
            databases=Databases(watched, databases.auth, databases.usage), bus=LocalBus(watched), keys=started.keys
        )
        suite = replace(started, overrides=overrides)
        wiring.use(suite)
        token = read_token(suite.settings.base_url, os.environ)
        ApiClient(suite.settings.base_url).operator("POST", "/groups", token, {"group_id": GROUP})
        devices = [enrolled(folder / "devices" / user, user, suite.settings.base_url, token) for user in ADMINS]
        key = Home.open(folder / "devices" / ADMINS[0], PASSPHRASE).private_key()
        yield RotationStage(suite, watched, devices[0], EventSigner(key, utc_now, os.urandom), token)


def _request(client_id: str, rotation_id: str) -> RotationRequest:
    return RotationRequest(
        client_id=client_id,
        rotation_id=rotation_id,
        reason="bench",
        group=GROUP,
        grace_milliseconds=0,
        not_before=None,
        supersede=False,
        emergency=False,
    )


def _settings(folder: Path, url: str) -> Settings:
    return Settings(Stage.LOCAL, folder / "data", url, policy=POLICY, authoriser=UNSAFE)


@contextmanager
def own_environment(state: Path) -> Iterator[None]:
    """Use a state folder of the bench's own, and restore all variables at the end."""
    before = dict(os.environ)
    os.environ["XDG_STATE_HOME"] = str(state)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        wiring.use(None)


def enrolled(folder: Path, user: str, url: str, token: str) -> Device:
    """Invite a person, and return their device, a member of the group."""
    invite = ApiClient(url).operator("POST", "/invites", token, {"user": user, "group_id": GROUP})
    device = Device.open(Home.create(folder, user, PASSPHRASE, cost=CHEAP), url)
    device.join(str(invite["code"]))
    return device


def _way(calls: tuple[StoreCall, ...], rotation_id: str, answered_at: float) -> Way:
    commits = [call for call in calls if call.name == "commit"]
    accepting_commit = next(call for call in commits if paths.rotation(rotation_id) in _written(call))
    readable = next(call for call in commits if any(path.startswith(paths.messages(GROUP)) for path in _written(call)))
    between = tuple(call for call in calls if accepting_commit.at < call.at < readable.at)
    return Way(answered_at, accepting_commit, readable, between)


def _written(call: StoreCall) -> set[str]:
    return {write.path for write in call.writes}
