"""Round trips by door, counted by an interceptor on the real channel: what a call may cost when it loses no race.

Two reads: the client says which documents belong to it, then all of them are read at one instant (clients.py, rule 1).
Of a command that comes inside MLS the first reads the group that opens it, since only then is it known which client it
is about; the second reads all the rest, for the client's document tells most of it (clients.py, rule 3; ADR 0011).
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.firestore.change_feed import FirestoreFeed, FirestoreFollowing
from keyturn.domain.encodings import DUE_SHARDS
from keyturn.verifier.changes import in_thread
from keyturn.verifier.verifier import Caching, Verifier

from tests.emulators import FIRESTORE
from tests.functions.envelopes import envelope, inside
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Document, Query
    from keyturn.proofs.nostr import Event

    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = [*FIRESTORE, pytest.mark.world("alice", "bob", kind="firestore")]

OTHER = "second-line-team"
COMMAND = Counter(BatchGetDocuments=2, Commit=1)
WRONG = "A" * 43
DISTRIBUTE = COMMAND + Counter(RunQuery=1)
"""The query finds what waits for the same groups (waiting.py)."""


@pytest.fixture
def world(world: FirestoreWorld) -> FirestoreWorld:
    """Give the client its first version, too."""
    world.issue("alice", "bob")
    world.pump()
    return world


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


def said_inside(world: FirestoreWorld, event: Event) -> Event:
    (sender,) = (admin for admin in world.admins.values() if admin.signer.public_key == event.pubkey)
    return envelope(world, inside(sender, event))


@pytest.mark.parametrize("made", COMMANDS, ids=lambda made: made.__name__)
def test_a_command_inside_mls_is_no_more(world: FirestoreWorld, made: Callable[[FirestoreWorld], Event]) -> None:
    said = said_inside(world, made(world))
    with world.counting() as calls:
        answer = world.send(said)
    assert answer.status_code == 200, answer.text
    assert Counter(calls) == COMMAND


def test_several_groups_cost_no_more(world: FirestoreWorld) -> None:
    assert world.operator("/groups", {"group_id": OTHER}).status_code == 200
    for user in ("alice", "bob"):
        world.join(user, OTHER)
    world.add_client("of-two", [GROUP, OTHER])
    for event in (
        world.admins["alice"].rotation(client_id="of-two"),
        world.admins["bob"].action("emergency", {}, client_id="of-two", group=OTHER),
    ):
        said = said_inside(world, event)
        with world.counting() as calls:
            answer = world.send(said)
        assert answer.status_code == 200, answer.text
        assert Counter(calls) == COMMAND


OPERATED: dict[str, tuple[str, dict[str, object]]] = {
    "a client": ("/clients", {"client_id": "another", "groups": [GROUP]}),
    "a policy": (f"/clients/{CLIENT}/policy", {"policy": {"quorum": 2}}),
    "token terms": (f"/clients/{CLIENT}/tokens", {"scopes": ["read"]}),
    "a group": ("/groups", {"group_id": OTHER}),
}


@pytest.mark.parametrize("name", OPERATED)
def test_an_operators_command_and_its_answer_are_no_more(world: FirestoreWorld, name: str) -> None:
    path, fields = OPERATED[name]
    with world.counting() as calls:
        answer = world.operator(path, fields)
    assert answer.status_code == 200, answer.text
    assert Counter(calls) == COMMAND


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
            world.issue("alice", "bob", client_id=client_id, supersede=True, grace_milliseconds=1_800_000)
    world.serve(store_expires_documents=True)  # as on any Firestore (wiring.py)
    world.sweep()  # which keeps the house, as the first one of each hour does
    idle, calls = swept(world)
    assert (idle["settled"], calls) == (0, Counter(RunQuery=DUE_SHARDS, BatchGetDocuments=1))
    world.clock.advance(minutes=31)
    done, calls = swept(world)
    assert (done["settled"], done["failed"]) == (3, 0)
    # One query a shard, one read that tells the time; and one read and one commit an item due.
    assert calls == Counter(RunQuery=DUE_SHARDS, BatchGetDocuments=1 + 3, Commit=3)


def test_keeping_house_is_once_an_hour(world: FirestoreWorld) -> None:
    world.serve(store_expires_documents=True)
    costs = []
    for _ in range(3):
        costs += [swept(world)[1], swept(world)[1]]
        world.clock.advance(minutes=61)
    assert costs[1::2] == [Counter(RunQuery=DUE_SHARDS, BatchGetDocuments=1)] * 3
    assert [(cost - costs[1])["Commit"] for cost in costs[2::2]] == [1, 1]
    assert costs[2] == costs[4]


class CountedMac:
    """A MAC key that counts."""

    def __init__(self, inner: MacKey) -> None:
        self._inner = inner
        self.calls = 0

    def current(self) -> str:
        return self._inner.current()

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        return self._inner.sign(mac_key_ref, data)

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        self.calls += 1
        return self._inner.verify(mac_key_ref, data, tag)


def test_a_check_is_one_read_when_cold_and_nothing_when_hot(world: FirestoreWorld) -> None:
    secret = world.issue("alice", "bob")
    mac = CountedMac(world.suite.keys.mac)
    keeping = Caching(background=lambda _poll: None)
    verifier = Verifier(world.suite.databases.control, mac, world.policy, caching=keeping)

    def spent(presented: str, client_id: str = CLIENT) -> tuple[bool, list[str], int]:
        before = mac.calls
        with world.counting() as calls:
            accepted = verifier.check(client_id, presented).accepted
        return accepted, calls, mac.calls - before

    assert spent(WRONG, "nobody-knows-this") == (False, ["BatchGetDocuments"], 0)
    assert spent(WRONG) == (False, ["BatchGetDocuments"], 0)
    assert spent(WRONG) == (False, [], 0)  # at most one read a second
    assert spent(secret) == (True, [], 1)
    assert [spent(secret) for _ in range(3)] == [(True, [], 0)] * 3
    cold = Verifier(world.suite.databases.control, mac, world.policy, caching=keeping)
    with world.counting() as calls:
        assert cold.check(CLIENT, secret).accepted
    assert (calls, mac.calls) == (["BatchGetDocuments"], 2)


def test_a_poll_is_seventeen_reads_and_ends_what_changed(world: FirestoreWorld) -> None:
    secret = world.issue("alice", "bob")
    keeping = Caching(background=lambda _poll: None)
    verifier = Verifier(world.suite.databases.control, world.suite.keys.mac, world.policy, caching=keeping)
    verifier.poll()
    assert verifier.check(CLIENT, secret).accepted
    assert world.send(suspend(world)).status_code == 200
    assert verifier.check(CLIENT, secret).accepted
    with world.counting() as calls:
        verifier.poll()
    assert Counter(calls) == Counter(BatchGetDocuments=1, RunQuery=16)
    with world.counting() as calls:
        assert not verifier.check("nobody-knows-this", secret).accepted
    assert calls == ["BatchGetDocuments"]
    assert not verifier.check(CLIENT, secret).accepted


def open_stream(verifier: Verifier, sessions: list[FirestoreFollowing]) -> None:
    """Poll until a stream is open: each poll opens one if there is none."""
    for _ in range(10):
        verifier.poll()
        if sessions[-1].opened.wait(3):
            return


def test_who_listens_hears_of_a_change_without_asking(world: FirestoreWorld) -> None:
    secret = world.issue("alice", "bob")
    heard, sessions = threading.Event(), list[FirestoreFollowing]()

    class Feed(FirestoreFeed):
        def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> FirestoreFollowing:
            following = super().follow(query, either)
            vars(following)["_documents"] = lambda: noted(FirestoreFollowing._documents(following))
            sessions.append(following)
            return following

    def noted(documents: Iterator[Document]) -> Iterator[Document]:
        for document in documents:
            yield document
            # Once the verifier asks for the next one, it has taken this one.
            if (document.data or {})["status"] == "suspended":
                heard.set()

    def only_listening(act: Callable[[], None]) -> None:
        if act.__name__ != "_try_to_poll":
            in_thread(act)

    feed = Feed(world.channel, project=world.project, database="control")
    keeping = Caching(background=only_listening, feed=feed)
    verifier = Verifier(world.suite.databases.control, world.suite.keys.mac, world.policy, caching=keeping)
    for _ in range(3):  # the emulator drops a new stream at times, also one that has opened: then another is tried
        open_stream(verifier, sessions)
        assert verifier.check(CLIENT, secret).accepted
        assert world.send(suspend(world)).status_code == 200
        if heard.wait(10):
            break
        assert world.send(world.admins["alice"].action("resume")).status_code == 200
    assert heard.is_set()
    assert not verifier.check(CLIENT, secret).accepted
    verifier.close()
