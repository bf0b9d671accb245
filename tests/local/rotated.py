"""A data folder that a real `keyturn up` and real devices made, stopped; and planting things in a copy of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from keyturn.local.doctor import open_folder
from keyturn.ports.store import Create, Delete, Replace
from keyturn.records import paths
from keyturn.use_cases.doctor.findings import plain_value

from tests.local.real_machine import Machine
from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.device import Device
    from keyturn.entry.composition.suite import Suite
    from keyturn.ports.store import Store

CLIENT = paths.client("acme")


@dataclass(frozen=True)
class Rotated:
    """Client `acme` of group `ops`: one version in grace, one current, one distributed; `secret` is the current one."""

    folder: Path
    secret: str = field(repr=False)


def rotated(folder: Path) -> Rotated:
    """Make such a folder."""
    machine = Machine(folder)
    machine.start()
    try:
        machine.wait_until_up()
        machine.operator("/groups", {"group_id": "ops"})
        fields = {"client_id": "acme", "groups": ["ops"], "kind": "x_api_key", "policy": {"quorum": 1}}
        machine.operator("/clients", fields)
        alice, bob = (machine.device(name, "ops") for name in ("alice", "bob"))
        for _ in range(2):
            secret = _notice(bob, alice)
            bob.ack(bob.inbox()[-1].rotation_id)
        _notice(bob, alice)
        assert machine.stop() == 0
    finally:
        machine.end()
    return Rotated(machine.data, secret)


def _notice(bob: Device, alice: Device) -> str:
    rotation_id = alice.new_id()
    alice.rotate("acme", "planned", rotation_id=rotation_id, grace=timedelta(days=7), supersede=True)

    def received() -> str | None:
        bob.catch_up()
        return next((item.secret for item in bob.inbox() if item.rotation_id == rotation_id), None)

    return until(received)


@dataclass
class Patient:
    """A copy of a rotated folder, opened; what stands in it can be changed as no use case would."""

    folder: Path
    secret: str = field(repr=False)
    suite: Suite = field(init=False)

    def __post_init__(self) -> None:
        self.suite = open_folder(self.folder)

    @property
    def store(self) -> Store:
        return self.suite.databases.control

    def data(self, path: str) -> dict[str, Any]:
        """Return a document, to be changed at will."""
        return cast("dict[str, Any]", plain_value(self.store.get([path])[path].data or {}))

    def put(self, path: str, data: dict[str, Any], store: Store | None = None) -> None:
        """Write a document, whatever stood there."""
        store = store or self.store
        version = store.get([path])[path].version
        store.commit([Create(path, data) if version is None else Replace(path, data, version)])

    def edit(self, path: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a document in place."""
        data = self.data(path)
        change(data)
        self.put(path, data)

    def set(self, path: str, **fields: object) -> None:
        """Change fields of a document."""
        self.put(path, {**self.data(path), **fields})

    def move(self, path: str, to: str) -> None:
        """Move a document."""
        self.put(to, self.data(path))
        self.drop(path)

    def drop(self, path: str) -> None:
        """Delete a document."""
        version = self.store.get([path])[path].version
        assert version is not None
        self.store.commit([Delete(path, version)])

    # --- where things are --------------------------------------------------------------------------------------------

    @property
    def client(self) -> dict[str, Any]:
        return self.data(CLIENT)

    @property
    def current(self) -> str:
        return paths.version("acme", self.client["current_version"])

    @property
    def previous(self) -> str:
        return paths.version("acme", self.client["previous_version"])

    @property
    def open_rotation(self) -> str:
        return paths.rotation(self.client["active_rotation"])

    @property
    def last_rotation(self) -> str:
        return paths.rotation(self.client["last_rotation"])

    def close(self) -> None:
        for name in ("control", "auth", "usage"):
            getattr(self.suite.databases, name).close()


def patient(healthy: Rotated, folder: Path) -> Patient:
    """Return a patient over a copy of a folder."""
    shutil.copytree(healthy.folder, folder)
    return Patient(folder, healthy.secret)
