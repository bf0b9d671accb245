"""This release reads the golden deployment of each release, and goes on with it (docs/upgrade.md)."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn import __version__
from keyturn.adapters.mls.message_headers import read_head
from keyturn.device.core.signed_events import EventSigner
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.domain.model import ClientKind, ClientStatus, Outcome, Phase, VersionState
from keyturn.ports.effects import Environment
from keyturn.records.schema import KINDS, kind_of
from keyturn.use_cases.doctor.run_checks import RunChecks

from tests.releases.golden import GOLDEN, load, make_private, write
from tests.releases.marks import MARKS
from tests.releases.stores import DATABASES, POLICY, VICTIM, overrides
from tests.world import URL, Admin, World, WorldTransport, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
LIVE = {
    *("victim", "stuck", "due", "due's next", "waiting", "acked", "asked", "elsewhere"),
    *("rolled-back", "rolled-back's next", "canceled", "expired"),
}
"""The secrets that verify a minute after the golden time, by their names in story.json."""


@dataclass
class Golden:
    """A golden deployment, served by this release."""

    world: World
    secrets: dict[str, str]
    rotations: dict[str, str]

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return every document of every database, by path."""
        from keyturn.adapters.sqlite.document_json import decode

        return {
            path: dict(decode(cast("str", text)))
            for name in DATABASES
            for path, (_, text) in self.world.documents(getattr(self.world, name)).items()
        }


@contextmanager
def served(source: Path, folder: Path) -> Iterator[Golden]:
    shutil.copytree(source, folder)
    make_private(folder)
    for name in DATABASES:
        load((folder / f"{name}.sql").read_text(), folder / f"{name}.db")
    story = json.loads((folder / "story.json").read_text())
    with running(folder, "sqlite", policy=POLICY, overrides=overrides()) as world:
        world.clock.now = datetime.fromisoformat(story["now"])
        for path in sorted((folder / "homes").iterdir()):
            home = Home.open(path, "passphrase")
            device = Device.open(
                home, URL, transport=WorldTransport(), now=world.clock, random=os.urandom, sleep=lambda _seconds: None
            )
            world.admins[path.name] = Admin(path.name, device, EventSigner(home.private_key(), world.clock, os.urandom))
        yield Golden(world, story["secrets"], story["rotations"])


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Golden]:
    with served(GOLDEN / request.param, tmp_path / "golden") as golden:
        yield golden


def test_the_script_writes_all_kinds_and_states(tmp_path: Path) -> None:
    write(tmp_path / "golden")
    with served(tmp_path / "golden", tmp_path / "copy") as golden:
        documents = golden.documents()
    kinds = {kind.pattern for path in documents if (kind := kind_of(path))}
    assert kinds == {kind.pattern for kind in KINDS} - MARKS.keys()
    texts = {value for data in documents.values() for value in data.values() if isinstance(value, str)}
    assert texts >= {*Phase, *Outcome, *VersionState, *ClientStatus, *ClientKind}


def test_this_version_has_its_golden_deployment() -> None:
    assert __version__ in VERSIONS


def test_the_secrets_verify_and_time_goes_on(golden: Golden) -> None:
    world = golden.world
    world.clock.advance(seconds=60)
    world.sweep()
    verdicts = {
        name: world.check(secret, name.partition("'")[0])["accepted"] for name, secret in golden.secrets.items()
    }
    assert {name for name, accepted in verdicts.items() if accepted} == LIVE


def test_devices_go_on_with_their_saved_states(golden: Golden) -> None:
    world, alice = golden.world, golden.world.admins["alice"]
    # A notice of the golden log, an acknowledgement of it, and a rotation of this release in the same groups.
    assert world.send(alice.ack(golden.rotations["acked"])).status_code == 200
    assert world.check(golden.secrets["acked's next"], "acked")["accepted"]
    assert world.suite.distribution.distribute("waiting", golden.rotations["waiting"])
    assert world.send(alice.ack(golden.rotations["waiting"])).status_code == 200
    assert world.check(alice.secret(golden.rotations["waiting"]), "waiting")["accepted"]
    assert world.check(world.issue("bob", "alice", client_id="asked"), "asked")["accepted"]
    # Commands of this release on a client of the golden one.
    for action, params in (("cancel", {"rotation_id": golden.rotations[VICTIM]}), ("rollback", {})):
        assert world.send(alice.action(action, params, client_id=VICTIM)).status_code == 200
    assert world.check(golden.secrets["victim's previous"], VICTIM)["accepted"]


def test_the_doctor_has_nothing_to_report(golden: Golden) -> None:
    suite = golden.world.suite
    checks = RunChecks(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=read_head,
        environment=Environment(bytes, lambda _seconds: None),
    )
    assert checks().breaches == ()
