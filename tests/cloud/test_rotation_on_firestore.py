"""The whole rotation with Firestore underneath: the same doors, every call to Firestore counted, many at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.emulators import FIRESTORE
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = [*FIRESTORE, pytest.mark.world("alice", "bob", kind="firestore")]

COMMAND = Counter(BatchGetDocuments=2, Commit=1)
"""What a command may cost when it loses no race."""
MANY = 64


def states(world: FirestoreWorld, *secrets: str) -> list[str | None]:
    return [world.check(secret).get("state") for secret in secrets]


def test_rotation_from_nothing_to_retired(world: FirestoreWorld) -> None:
    first = world.issue("alice", "bob")
    assert states(world, first) == ["current"]
    second = world.issue("alice", "bob")
    assert states(world, first, second) == ["grace", "current"]
    world.clock.advance(hours=2)
    assert world.sweep() == {"settled": 1, "republished": 0, "failed": 0}
    assert states(world, first, second) == [None, "current"]
    assert world.sweep()["settled"] == 0


def test_every_command_is_at_most_two_reads_and_one_commit(world: FirestoreWorld) -> None:
    alice, bob = world.admins["alice"], world.admins["bob"]
    with world.counting() as requesting:
        answer = world.send(alice.rotation())
    world.pump()
    ack = bob.ack(str((answer.json or {})["rotation_id"]))
    with world.counting() as acknowledging:
        assert world.send(ack).status_code == 200
    with world.counting() as repeating:
        assert world.send(ack).status_code == 200  # the same event again: its answer, no second effect
    assert Counter(requesting) <= COMMAND
    assert Counter(acknowledging) <= COMMAND
    assert "Commit" not in repeating


def test_a_cold_check_is_one_read(world: FirestoreWorld) -> None:
    secret = world.issue("alice", "bob")
    with world.counting() as checking:
        assert world.check(secret)["accepted"]
    assert checking == ["BatchGetDocuments"]


def at_once(world: FirestoreWorld, requests: Sequence[tuple[str, str]]) -> list[int]:
    """Send a request for each (requester, client), all at the same time; the statuses."""
    events = [world.admins[requester].rotation(client_id=client_id) for requester, client_id in requests]
    with ThreadPoolExecutor(MANY) as pool:
        return [answer.status_code for answer in pool.map(world.send, events)]


def test_many_requests_for_one_client_are_one_rotation(world: FirestoreWorld) -> None:
    statuses = at_once(world, [("alice", CLIENT)] * MANY)
    assert Counter(statuses) == Counter({200: 1, 409: MANY - 1})


def test_many_requests_for_as_many_clients_all_succeed(world: FirestoreWorld) -> None:
    # Each person's requests are counted in one document: sixty a minute, and few of them at the same instant.
    people = [world.join(f"person-{n}").user for n in range(8)]
    clients = [f"client-{n}" for n in range(MANY)]
    for client_id in clients:
        world.add_client(client_id, [GROUP])
    assert at_once(world, list(zip(people * (MANY // 8), clients, strict=True))) == [200] * MANY
    rotations = {world.document(f"oauth2_clients/{client_id}")["active_rotation"] for client_id in clients}
    assert len(rotations - {None}) == MANY
