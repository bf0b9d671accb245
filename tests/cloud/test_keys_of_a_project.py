"""`keyturn keys --cloud`: a project's key versions, by the variables of its doors; what a live secret names stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from keyturn.adapters.google_kms.keys import CloudKeyNames
from keyturn.cli.main import RootCommand
from keyturn.domain.model import Client, ClientKind, ClientState, Version, VersionState
from keyturn.domain.policy import Policy
from keyturn.local import keys_commands
from keyturn.local.kms_emulator import KmsEmulator
from keyturn.ports.store import Create
from keyturn.records.client_document import client_data
from typer.testing import CliRunner

from tests.emulators import FIRESTORE
from tests.world import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyturn.adapters.firestore.store import FirestoreStore
    from typer.testing import Result

pytestmark = FIRESTORE

app = typer.Typer(cls=RootCommand, pretty_exceptions_enable=False)
keys_commands.register(app)


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[KmsEmulator]:
    with KmsEmulator(tmp_path / "kms.json") as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, stand_in: KmsEmulator, firestore_host: str, project: str) -> None:
    """Have the environment be a project's; the store under test is its `control`."""
    names = CloudKeyNames.of_ring(stand_in.ring)
    keys = {"MAC_KEY": names.mac, "SEAL_KEY": names.seal, "SIGN_KEY": names.sign}
    databases = {f"DATABASE_{name}": name.lower() for name in ("CONTROL", "AUTH", "USAGE")}
    for name, value in {"STAGE": "local", "PROJECT": project, **keys, **databases}.items():
        monkeypatch.setenv(f"KEYTURN_{name}", value)
    monkeypatch.setenv("KEYTURN_KMS_EMULATOR_HOST", stand_in.host)
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    monkeypatch.setattr(keys_commands, "CLOUD_LAG_SECONDS", 0.0)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words, "--cloud"])


def listed() -> dict[str, dict[str, Any]]:
    answer = run("list", "--json")
    return {key["version"].rpartition("/keyRings/")[2]: key for key in json.loads(answer.stdout)["keys"]}


def client_named(ref: str) -> Create:
    version = Version("acme", "v", START, START, "r", "alice", "", VersionState.CURRENT, mac_key_ref=ref)
    client = Client("acme", ClientKind.X_API_KEY, ("ops",), START, current_version="v")
    return Create("oauth2_clients/acme", client_data(ClientState(client, {"v": version}), Policy()))


def test_a_version_that_a_live_secret_names_is_not_disabled(
    firestore_store: FirestoreStore, stand_in: KmsEmulator
) -> None:
    first = f"{CloudKeyNames.of_ring(stand_in.ring).mac}/cryptoKeyVersions/1"
    firestore_store.commit([client_named(first)])
    assert json.loads(run("roll", "mac", "--json").stdout)["version"].endswith("/mac/cryptoKeyVersions/2")
    (ours,) = (key for key in listed().values() if key["version"] == first)
    assert (ours["clients"], ours["current"]) == (1, False)
    refused = run("disable", first)
    assert (refused.exit_code, "Rotate those clients" in refused.output) == (1, True)
    assert first in {key["version"] for key in listed().values()}


def test_a_version_that_nobody_needs_is_disabled(firestore_store: FirestoreStore, stand_in: KmsEmulator) -> None:
    first = f"{CloudKeyNames.of_ring(stand_in.ring).mac}/cryptoKeyVersions/1"
    assert run("roll", "mac").exit_code == 0
    firestore_store.commit([client_named(first.replace("Versions/1", "Versions/2"))])
    assert run("disable", first).exit_code == 0
    assert first not in {key["version"] for key in listed().values()}


def test_an_environment_that_names_no_project_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYTURN_PROJECT")
    answer = run("list")
    assert (answer.exit_code, "names no project" in answer.output) == (1, True)
