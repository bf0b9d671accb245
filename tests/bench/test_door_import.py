"""The floor of a door's import is of exactly the vendor clients that the door loads."""

from __future__ import annotations

import pytest

import main as doors
from bench import door_import
from bench.door_import import CLIENTS, FIREBASE, FIRESTORE, KMS, PUBSUB, Ready, UnlikeClientsError, clients_of, imported

DOORS = sorted(CLIENTS)


def test_every_door_is_measured() -> None:
    assert set(CLIENTS) == set(doors.FUNCTIONS)


@pytest.mark.parametrize("door", ["on_secret_version", "status", "distribute", "admin_proof"])
def test_a_door_loads_exactly_the_clients_that_it_uses(door: str) -> None:
    assert clients_of(door) == set(CLIENTS[door].clients)


def test_a_client_too_many_or_too_few_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = CLIENTS["status"]
    for clients in ((), (FIRESTORE, KMS)):
        monkeypatch.setattr(door_import, "CLIENTS", {"status": Ready(clients, known.wiring)})
        with pytest.raises(UnlikeClientsError):
            clients_of("status")


def test_only_doors_that_publish_load_pubsub() -> None:
    assert {door for door in DOORS if PUBSUB in CLIENTS[door].clients} == {"on_secret_version", "grace_sweeper"}


def test_only_the_door_of_proofs_loads_firebase() -> None:
    assert {door for door in DOORS if FIREBASE in CLIENTS[door].clients} == {"admin_proof"}


def test_each_share_is_measured() -> None:
    shares = imported("status")
    assert min(shares.floor, shares.door, shares.wiring) > 0
