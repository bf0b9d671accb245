"""`keyturn up --emulators` says why it does not start, and changes nothing then."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.policy import Policy
from keyturn.local import emulator_project
from keyturn.local.child_process import start_child
from keyturn.local.emulator_addresses import published_addresses, read_addresses
from keyturn.local.emulator_backend import EmulatorBackend
from keyturn.local.emulator_project import emulators, local_cloud, webhook_secret
from keyturn.local.emulators import Emulator
from keyturn.local.errors import LocalError
from keyturn.local.machine import run_suite

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def refusal(folder: Path, port: int = 0) -> LocalError:
    with (
        pytest.raises(LocalError) as refused,
        run_suite(EmulatorBackend(folder, Policy(), NOBODY), port, 60),
    ):
        pass
    return refused.value


def test_a_port_in_use_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} is in use" in str(refusal(tmp_path / "data", port))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_embedded_suite_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"somebody's")
    assert "without emulators" in str(refusal(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["control.db"]


def test_damaged_keys_are_named_and_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(b"no longer what it was")
    (tmp_path / "keys.json").chmod(0o600)
    assert "key file" in str(refusal(tmp_path))
    assert (tmp_path / "keys.json").read_bytes() == b"no longer what it was"


def test_an_emulator_that_does_not_answer_is_named(tmp_path: Path) -> None:
    assert "Firestore emulator does not respond" in str(refusal(tmp_path))
    assert not (tmp_path / "emulators.json").exists()


def test_the_secret_of_the_way_in_stays_and_is_its_owners(tmp_path: Path) -> None:
    first = webhook_secret(tmp_path)
    assert len(first) == 48
    assert webhook_secret(tmp_path) == first
    assert (tmp_path / "entrance.secret").stat().st_mode & 0o777 == 0o600


def test_addresses_are_told_while_they_hold(tmp_path: Path) -> None:
    cloud = local_cloud("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
    assert read_addresses(tmp_path) is None
    with published_addresses(tmp_path, cloud):
        assert read_addresses(tmp_path) == cloud
    assert read_addresses(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", '{"project": "p", "surprise": 1}', "{"])
def test_damaged_addresses_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "emulators.json").write_text(content, encoding="ascii")
    with pytest.raises(LocalError, match="damaged"):
        read_addresses(tmp_path)


def test_each_emulator_has_its_own_address_in_the_settings() -> None:
    cloud = local_cloud("firestore:1", "pubsub:2", "kms:3")
    assert (cloud.firestore_emulator, cloud.pubsub_emulator, cloud.kms_emulator) == ("firestore:1", "pubsub:2", "kms:3")
    assert [name.rpartition("/")[2] for name in (cloud.mac_key, cloud.seal_key, cloud.sign_key)] == [
        "mac",
        "seal",
        "sign",
    ]


def test_an_emulator_that_starts_beside_one_that_does_not_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_child(["sleep", "60"]) as process:
        monkeypatch.setenv("PATH", str(tmp_path))  # no java, and so no Firestore
        monkeypatch.setattr(emulator_project, "start_pubsub", lambda: Emulator("127.0.0.1:1", process))
        with pytest.raises(LocalError), emulators(tmp_path, "127.0.0.1:1", {}):
            pass
        assert process.poll() is not None
