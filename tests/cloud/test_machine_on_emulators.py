"""`keyturn up --emulators`: a whole rotation through real doors, triggers and pushes, and what it leaves behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from keyturn.device.api.client import ApiClient, HttpRequest, HttpTransport
from keyturn.local.doctor import diagnose, open_folder, outbox_of
from keyturn.local.errors import LocalError

from tests.cloud.emulated_machine import emulated_machine
from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.device.device import Device

    from tests.local.real_machine import Machine

pytestmark = [pytest.mark.tier("java"), pytest.mark.xdist_group("machine_on_emulators")]

GROUP = "ops"
CLIENT = "acme"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with emulated_machine(tmp_path_factory.mktemp("machine")) as machine:
        machine.start()
        machine.wait_until_up()
        machine.operator("/groups", {"group_id": GROUP})
        yield machine


@pytest.fixture(scope="module")
def people(machine: Machine) -> tuple[Device, Device]:
    fields = {"client_id": CLIENT, "groups": [GROUP], "kind": "x_api_key", "policy": {"quorum": 1}}
    machine.operator("/clients", fields)
    return machine.device("alice", GROUP), machine.device("bob", GROUP)


def received(device: Device, rotation_id: str) -> str | None:
    device.catch_up()
    return next((item.secret for item in device.inbox() if item.rotation_id == rotation_id), None)


def rotate(people: tuple[Device, Device]) -> str:
    """Rotate from request to promotion, and return the secret."""
    alice, bob = people
    rotation_id = str(alice.rotate(CLIENT, "planned", supersede=True)["rotation_id"])
    secret = until(lambda: received(bob, rotation_id))
    bob.ack(rotation_id)
    until(lambda: alice.rotation(rotation_id)["outcome"] == "promoted")
    return secret


def test_a_rotation_from_request_to_grace(machine: Machine, people: tuple[Device, Device]) -> None:
    first, second = rotate(people), rotate(people)
    server = ApiClient(machine.url)
    assert [server.check(CLIENT, secret)["state"] for secret in (first, second)] == ["grace", "current"]
    assert server.check(CLIENT, "A" * 43)["accepted"] is False


def test_the_doctor_finds_everything_and_no_breach(machine: Machine, people: tuple[Device, Device]) -> None:
    rotate(people)
    diagnosis = diagnose(open_folder(machine.data))
    assert diagnosis.breaches == ()
    assert diagnosis.depth is None
    counts = diagnosis.examination.counts
    assert (counts["clients"], counts["groups"]) == (1, 1)
    assert counts["rotations"] == counts["versions"] > 0


def test_the_doctor_names_what_belongs_to_nothing(machine: Machine) -> None:
    from keyturn.ports.store import Create, Delete

    store, path = open_folder(machine.data).databases.control, "unheard/of"
    store.commit([Create(path, {"a": 1})])
    try:
        assert [breach.where for breach in diagnose(open_folder(machine.data)).breaches] == [path]
    finally:
        store.commit([Delete(path, store.get([path])[path].version or "")])


def test_dead_letters_are_said_to_be_elsewhere(machine: Machine) -> None:
    with pytest.raises(LocalError) as told:
        outbox_of(open_folder(machine.data))
    assert "distribute-dead" in told.value.hint


def test_inner_doors_are_shut_to_others(machine: Machine) -> None:
    doors = ["/distribute/", "/on_secret_version/", "/grace_sweeper/", "/operator/groups"]
    paths = [*doors, "/pushed/guess/distribute/", "/functions/projects/keyturn-local/triggers/on_secret_version-guess"]
    answers = [HttpTransport(20).send(HttpRequest("POST", machine.url + path, {}, b"{}")).status for path in paths]
    assert answers == [401] * len(doors) + [404, 404]


def test_no_secret_is_in_its_log_or_in_the_file_of_addresses(machine: Machine) -> None:
    secret = (machine.data / "entrance.secret").read_text("ascii").strip()
    addresses = (machine.data / "emulators.json").read_text("ascii")
    assert set(json.loads(addresses)) >= {"project", "firestore_emulator", "pubsub_emulator", "kms_emulator"}
    assert secret not in addresses + (machine.folder / "up.log").read_text("utf-8")
    assert {(machine.data / name).stat().st_mode & 0o777 for name in ("entrance.secret", "keys.json")} == {0o600}


def test_started_again_over_the_same_emulators_it_goes_on(machine: Machine, people: tuple[Device, Device]) -> None:
    secret = rotate(people)
    assert machine.stop() == 0
    assert not (machine.data / "emulators.json").exists()
    machine.start()
    machine.wait_until_up()
    assert ApiClient(machine.url).check(CLIENT, secret)["state"] == "current"
    rotate(people)
    assert ApiClient(machine.url).check(CLIENT, secret)["state"] == "grace"
