"""Round trips by door, counted by an interceptor on the real channel: what a call may cost when it loses no race.

Two reads: the client says which documents belong to it, then all of them are read at one instant (clients.py, rule 1).
A command that comes inside MLS costs one more, which reads the group that opens it: only then is it known which client
it is about (accept_envelope.py).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from shared.use_cases.sweep import SHARDS
from tests.cloud.world_on_firestore import running_on_firestore
from tests.emulators import FIRESTORE
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shared.proofs.nostr import Event
    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = FIRESTORE

COMMAND = Counter(BatchGetDocuments=2, Commit=1)
INSIDE_MLS = COMMAND + Counter(BatchGetDocuments=1)
DISTRIBUTE = COMMAND + Counter(RunQuery=1)
"""The query finds what waits for the same groups (waiting.py)."""


@pytest.fixture
def world(tmp_path: Path, firestore_host: str, project: str) -> Iterator[FirestoreWorld]:
    with running_on_firestore(tmp_path, firestore_host, project) as world:
        world.found("alice", "bob")
        world.issue("alice", "bob")
        world.pump()
        yield world


def requested(world: FirestoreWorld) -> str:
    """Ask for a rotation, without delivering anything; its id."""
    return str((world.send(world.admins["alice"].rotation()).json or {})["rotation_id"])


def graced(world: FirestoreWorld) -> None:
    world.issue("alice", "bob")


def rotation(world: FirestoreWorld) -> Event:
    return world.admins["alice"].rotation()


def emergency(world: FirestoreWorld) -> Event:
    return world.admins["alice"].action("emergency", {})


def cancel(world: FirestoreWorld) -> Event:
    return world.admins["bob"].action("cancel", {"rotation_id": requested(world)})


def acknowledge(world: FirestoreWorld) -> Event:
    rotation_id = requested(world)
    world.pump()
    return world.admins["bob"].ack(rotation_id)


def rollback(world: FirestoreWorld) -> Event:
    graced(world)
    return world.admins["bob"].action("rollback", {"compromised": False})


def restore(world: FirestoreWorld) -> Event:
    assert world.send(rollback(world)).status_code == 200
    return world.admins["alice"].action("restore")


def retire(world: FirestoreWorld) -> Event:
    graced(world)
    return world.admins["bob"].action(
        "retire", {"version_id": world.document(f"oauth2_clients/{CLIENT}")["previous_version"]}
    )


def revoke(world: FirestoreWorld) -> Event:
    graced(world)
    version = world.document(f"oauth2_clients/{CLIENT}")["previous_version"]
    return world.admins["bob"].action("revoke", {"version_id": version, "force": False})


def suspend(world: FirestoreWorld) -> Event:
    return world.admins["alice"].action("suspend")


def resume(world: FirestoreWorld) -> Event:
    assert world.send(suspend(world)).status_code == 200
    return world.admins["alice"].action("resume")


COMMANDS = (rotation, emergency, cancel, acknowledge, rollback, restore, retire, revoke, suspend, resume)


@pytest.mark.parametrize("made", COMMANDS, ids=lambda made: made.__name__)
def test_a_command_is_two_reads_and_one_commit(world: FirestoreWorld, made: Callable[[FirestoreWorld], Event]) -> None:
    event = made(world)
    with world.counting() as calls:
        answer = world.send(event)
    assert answer.status_code == 200, answer.text
    assert Counter(calls) == COMMAND


def test_a_command_inside_mls_is_one_read_more(world: FirestoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    accept, posted = world.suite.accept, []

    def counted(body: bytes) -> object:
        with world.counting() as calls:
            answer = accept(body)
        posted.append(Counter(calls))
        return answer

    monkeypatch.setitem(vars(world.suite), "accept", counted)
    world.admins["alice"].device.command("suspend", CLIENT, {}, "counted")
    assert posted == [INSIDE_MLS]


def test_publishing_is_one_read(world: FirestoreWorld) -> None:
    requested(world)
    (written,) = world.queue
    with world.counting() as calls:
        assert (world.deliver(written).json or {})["published"] is True
    assert calls == ["BatchGetDocuments"]


def test_distributing_is_two_reads_a_query_and_one_commit(world: FirestoreWorld) -> None:
    requested(world)
    world.deliver(world.queue.popleft())
    (message,) = world.queue
    with world.counting() as calls:
        assert (world.deliver(message).json or {})["sent"] is True
    assert Counter(calls) == DISTRIBUTE
    with world.counting() as again:
        assert (world.deliver(message).json or {})["sent"] is False
    assert Counter(again) == Counter(BatchGetDocuments=2)


def swept(world: FirestoreWorld) -> tuple[dict[str, int], Counter[str]]:
    with world.counting() as calls:
        done = world.sweep()
    return done, Counter(calls)


def test_a_sweep_costs_what_is_due(world: FirestoreWorld) -> None:
    for number in range(3):
        client_id = f"client-{number}"
        world.add_client(client_id, [GROUP])
        for _ in range(2):
            world.issue("alice", "bob", client_id=client_id, supersede=True)
    idle, before = swept(world)
    world.clock.advance(hours=2)
    done, after = swept(world)
    assert (idle["settled"], done["settled"], done["failed"]) == (0, 3, 0)
    assert before["RunQuery"] >= SHARDS
    assert before["RunQuery"] == after["RunQuery"]  # the same queries, whatever is due
    assert after - before == Counter(BatchGetDocuments=3, Commit=3)
