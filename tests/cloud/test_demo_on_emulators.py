"""`keyturn demo --emulators`: the same scenario to the same summary, and no plaintext in files or in Firestore."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from keyturn.local.demo.scenario import Scenario
from keyturn.local.demo.screen import summary
from keyturn.local.demo.suite_process import start_suite

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.tier("java"), pytest.mark.xdist_group("machine_on_emulators")]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scenario]:
    folder = tmp_path_factory.mktemp("demo")
    with start_suite(folder, emulators=True) as stage:
        scenario = Scenario(stage, lambda _name, _seconds: None)
        scenario.run()
    return folder, scenario


def test_it_comes_out_as_without_emulators(told: tuple[Path, Scenario]) -> None:
    said = summary(told[1].results)
    assert {rotation["outcome"] for rotation in said["rotations"]} == {"promoted"}
    assert [{ack["user"] for ack in rotation["acks"]} for rotation in said["rotations"][:2]] == [
        {"bob", "carol"},
        {"alice", "carol"},
    ]
    assert said["plaintext_at_rest"] == {"found": 0, "control_found": True}
    assert said["doctor"]["breaches"] == []
    assert said["doctor"]["checked"]["clients"] == 1
    assert said["doctor"]["outbox"] is None
    assert said["steps"]


def test_firestore_was_searched_too(told: tuple[Path, Scenario]) -> None:
    folder, scenario = told
    documents = json.loads((folder / "firestore-control.json").read_bytes().partition(b"\n")[0])
    assert "oauth2_clients/acme-billing" in documents
    assert {path.name for path in folder.glob("firestore-*.json")} == {
        f"firestore-{name}.json" for name in ("control", "auth", "usage")
    }
    assert [secret for secret in scenario.secrets.values() if secret in str(documents)] == []


def test_nothing_of_it_runs_on_afterwards(told: tuple[Path, Scenario]) -> None:
    assert not (told[0] / "data" / "emulators.json").exists()
    kept = {"keys.json", "entrance.secret", "local_identity.json"}
    assert {path.name for path in (told[0] / "data").iterdir()} == kept
