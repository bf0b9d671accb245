"""Distribute under fire: killed at every call of every port, delivered twice, raced, and in bad company."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.adapters import document_values
from keyturn.domain.encodings import new_secret
from keyturn.domain.errors import Broken, Unavailable
from keyturn.domain.model import Version
from keyturn.mls import cipher_suite, private_message
from keyturn.ports.store import CommitTooLarge, LostRace, Query, Replace, StoreUnavailable
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.use_cases.client_repository import Clients
from keyturn.use_cases.distribution import distribute
from keyturn.use_cases.distribution.distribute import DistributeSecrets
from keyturn.verifier.matching import matches

from tests.functions.envelopes import envelope, inside
from tests.use_cases.faults import Died, Wire
from tests.world import EACH_STORE, GROUP, WatchedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from keyturn.ports.store import Write

    from tests.world import World

pytestmark = EACH_STORE
OTHER_GROUP = "second-line-team"
GROUPS = (GROUP, OTHER_GROUP)


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes, bytes]]:
    """Record (key, nonce, plaintext) of all that MLS encrypts, whether it is ever sent or not."""
    found: list[tuple[bytes, bytes, bytes]] = []

    def recorded(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        found.append((key, nonce, plaintext))
        return cipher_suite.aead_seal(key, nonce, plaintext, associated)

    monkeypatch.setattr(private_message, "aead_seal", recorded)
    return found


def asked_for(world: World, client_id: str, groups: Sequence[str] = GROUPS) -> str:
    """Add a client and ask for its first secret; what the request wakes is not delivered."""
    world.add_client(client_id, groups)
    event = world.admins["alice"].rotation(client_id=client_id)
    assert world.send(event).status_code == 200
    world.queue.clear()
    return str(json.loads(event.content)["rotation_id"])


def on_wire(world: World, wire: Wire) -> DistributeSecrets:
    suite = world.suite
    clients = Clients(wire.port(world.control), world.policy)
    return DistributeSecrets(clients, wire.port(suite.groups), wire.port(suite.keys.mac), suite.environment)


def log_of(world: World, rotation_id: str) -> list[str]:
    """Return the groups with a notice of a rotation among the last entries of their log, once for each notice."""
    found = []
    for group in (path.split("/")[1] for path in world.documents() if path.endswith("/roster/members")):
        since = world.document(paths.group(group))["next_index"] - 10
        entries = world.control.inner.query(Query(paths.messages(group), order_by="index", at_least=since))
        found += [group for entry in entries if (entry.data or {})["rotation_id"] == rotation_id]
    return sorted(found)


def sent_state(world: World, client_id: str, rotation_id: str) -> tuple[str, bool, list[str]]:
    """Return phase, whether the version has a hash, and where notices are: together they were written or not."""
    rotation = world.document(f"oauth2_rotations/{rotation_id}")
    version = world.document(f"oauth2_clients/{client_id}/secrets/{rotation['new_version']}")
    assert (version["secret_hash"] is None) == (version["receipt_key"] is None) == (version["mac_key_ref"] is None)
    return str(rotation["phase"]), version["secret_hash"] is not None, log_of(world, rotation_id)


UNSENT: tuple[str, bool, list[str]] = ("requested", False, [])
SENT = ("distributed", True, sorted(GROUPS))


def assert_one_secret_each(world: World, rotations: Mapping[str, str]) -> None:
    """Assert that each device reads exactly one notice of each rotation, and that the stored hash is its secret's."""
    for admin in (world.admins["alice"], world.admins["bob"]):
        arrived = Counter(notice.rotation_id for notice in admin.device.catch_up())
        assert arrived == Counter(rotations.values())
    for client_id, rotation_id in rotations.items():
        versions = [path for path in world.documents() if path.startswith(f"oauth2_clients/{client_id}/secrets/")]
        assert len(versions) == 1
        version = from_data(Version, world.document(versions[0]))
        secrets = {admin.device.notice(rotation_id).require_secret() for admin in world.admins.values()}
        assert [matches(secret, version, world.keys.mac) for secret in secrets] == [True]


def assert_one_good_secret(world: World, client_id: str, rotation_id: str) -> None:
    """Assert that both devices read exactly one notice in each group, of one secret, and that this one verifies."""
    alice, bob = world.admins["alice"], world.admins["bob"]
    arrived = [Counter(notice.rotation_id for notice in admin.device.catch_up()) for admin in (alice, bob)]
    assert [item[rotation_id] for item in arrived] == [1, 1]
    assert alice.secret(rotation_id) == bob.secret(rotation_id)
    assert world.send(alice.ack(rotation_id)).json["outcome"] == "promoted"  # type: ignore[index]  # an object
    assert world.check(alice.secret(rotation_id), client_id)["accepted"]
    versions = [path for path in world.documents() if path.startswith(f"oauth2_clients/{client_id}/secrets/")]
    assert len(versions) == 1


def test_killed_at_any_call_and_delivered_again_it_sends_one_secret_once(
    world: World, sealed: list[tuple[bytes, bytes, bytes]]
) -> None:
    world.found("alice", "bob", groups=GROUPS)
    whole, rotations = Wire(), {"client-whole": asked_for(world, "client-whole")}
    assert on_wire(world, whole)("client-whole", rotations["client-whole"])
    assert Counter(whole.calls)["WatchedStore.commit"] == 1
    for at, after in [(at, after) for at in range(len(whole.calls)) for after in (False, True)]:
        client_id = f"client-{at}-{after}"
        rotation_id = asked_for(world, client_id)

        wire = Wire(at, after)
        with pytest.raises(Died):
            on_wire(world, wire)(client_id, rotation_id)

        committed = after and wire.calls[-1] == "WatchedStore.commit"
        assert sent_state(world, client_id, rotation_id) == (SENT if committed else UNSENT)
        assert world.suite.distribution.distribute(client_id, rotation_id) is not committed
        assert sent_state(world, client_id, rotation_id) == SENT
        assert not world.suite.distribution.distribute(client_id, rotation_id)
        rotations[client_id] = rotation_id
    assert_one_secret_each(world, rotations)
    used = Counter((key, nonce) for key, nonce, _ in sealed)
    assert len(sealed) > 4 * len(whole.calls)
    assert not [pair for pair, times in used.items() if times > 1]


def test_a_commit_of_unknown_outcome_that_happened_is_not_repeated(world: World) -> None:
    world.found("alice", "bob", groups=GROUPS)
    rotation_id = asked_for(world, "client-one")
    whole = Wire()
    on_wire(world, whole)("client-one", rotation_id)
    at = whole.calls.index("WatchedStore.commit")
    rotation_id = asked_for(world, "client-two")

    wire = Wire(at, after=True, error=LostRace)
    assert on_wire(world, wire)("client-two", rotation_id)

    assert Counter(wire.calls)["WatchedStore.commit"] == 1
    assert_one_good_secret(world, "client-two", rotation_id)


def after_a_lost_race(world: World, sealed: list[tuple[bytes, bytes, bytes]], between: Callable[[], object]) -> str:
    """Distribute a rotation, and lose the first race for its commit. `between` runs before the second attempt."""
    world.found("alice", "bob")
    rotation_id = asked_for(world, "client-one", [GROUP])
    whole = Wire()
    on_wire(world, whole)("client-one", rotation_id)
    rotation_id = asked_for(world, "client-two", [GROUP])
    sealed.clear()

    class Lost(LostRace):
        def __init__(self) -> None:
            between()

    assert on_wire(world, Wire(whole.calls.index("WatchedStore.commit"), error=Lost))("client-two", rotation_id)
    return rotation_id


def current_key(world: World, client_id: str) -> str:
    return str(world.document(paths.client(client_id))["live"]["current"]["mac_key_ref"])


def secrets_in(sealed: list[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    return [text.split(b'"secret": "')[1][:43] for _, _, text in sealed if b'"secret": "' in text]


def test_a_lost_race_keeps_the_secret_and_throws_the_keys_of_its_message_away(
    world: World, sealed: list[tuple[bytes, bytes, bytes]]
) -> None:
    rotation_id = after_a_lost_race(world, sealed, lambda: None)

    first, second = secrets_in(sealed)
    keys = {key for key, _, text in sealed if b'"secret": "' in text}
    assert len(keys) == 2
    assert_one_good_secret(world, "client-two", rotation_id)
    assert first == second == world.admins["alice"].secret(rotation_id).encode()


def test_after_a_roll_of_the_key_a_lost_race_makes_a_fresh_secret(
    world: World, sealed: list[tuple[bytes, bytes, bytes]]
) -> None:
    rotation_id = after_a_lost_race(world, sealed, lambda: world.keys.add_version("mac"))

    first, second = secrets_in(sealed)
    assert first != second
    assert_one_good_secret(world, "client-two", rotation_id)
    assert second == world.admins["alice"].secret(rotation_id).encode()
    assert current_key(world, "client-two") == world.keys.mac.current()


def test_a_store_that_does_not_answer_leaves_nothing_behind(world: World) -> None:
    world.found("alice", "bob", groups=GROUPS)
    rotation_id = asked_for(world, "client-one")

    for at in range(3):
        with pytest.raises(StoreUnavailable):
            on_wire(world, Wire(at, error=StoreUnavailable))("client-one", rotation_id)

    assert sent_state(world, "client-one", rotation_id) == UNSENT


def test_who_never_wins_a_race_says_unavailable(world: World) -> None:
    world.found("alice")
    rotation_id = asked_for(world, "client-one", [GROUP])

    class Contended:
        def __getattr__(self, name: str) -> object:
            return getattr(world.control, name)

        def commit(self, _writes: object, **_given: object) -> None:
            raise LostRace

    clients = Clients(cast("World", Contended()), world.policy)  # type: ignore[arg-type]  # a store that always loses
    with pytest.raises(Unavailable):
        DistributeSecrets(clients, world.suite.groups, world.keys.mac, world.suite.environment)(
            "client-one", rotation_id
        )
    assert sent_state(world, "client-one", rotation_id) == UNSENT


def test_delivered_twice_at_once_one_sends_and_one_does_not(world: World) -> None:
    world.found("alice", "bob", groups=GROUPS)
    workers = [world.new_suite() for _ in range(2)]
    for number in range(4):
        client_id = f"client-{number}"
        rotation_id = asked_for(world, client_id)
        with ThreadPoolExecutor(2) as pool:
            sent = list(pool.map(lambda suite: suite.distribution.distribute(client_id, rotation_id), workers))  # noqa: B023 - run at once
        assert sorted(sent) == [False, True]
        assert_one_good_secret(world, client_id, rotation_id)


def test_what_waits_for_one_group_goes_out_in_one_commit(world: World) -> None:
    world.found("alice", "bob")
    rotations = {f"client-{number}": asked_for(world, f"client-{number}", [GROUP]) for number in range(5)}
    before = world.document(f"mls_groups/{GROUP}")

    sent = [world.suite.distribution.distribute(client_id, rotation_id) for client_id, rotation_id in rotations.items()]

    after = world.document(f"mls_groups/{GROUP}")
    assert sent == [True, False, False, False, False]
    assert after["epoch"] == before["epoch"] + 1
    assert after["generation"] == before["generation"] + 1
    assert after["next_index"] == before["next_index"] + 1 + len(rotations)
    for client_id, rotation_id in rotations.items():
        assert sent_state(world, client_id, rotation_id)[:2] == SENT[:2]


def test_a_damaged_client_does_not_hold_up_the_others_of_its_group(world: World) -> None:
    world.found("alice", "bob")
    broken, sound = asked_for(world, "client-broken", [GROUP]), asked_for(world, "client-sound", [GROUP])
    path = "oauth2_clients/client-broken"
    document = world.control.inner.get([path])[path]
    damaged = {**(document.data or {}), "active_rotation": world.new_id()}
    world.control.inner.commit([Replace(path, damaged, document.version or "")])

    assert world.suite.distribution.distribute("client-sound", sound)

    assert_one_good_secret(world, "client-sound", sound)
    assert log_of(world, broken) == []


def test_a_rotation_that_ended_meanwhile_is_not_sent(world: World) -> None:
    world.found("alice", "bob")
    rotation_id = asked_for(world, "client-one", [GROUP])
    canceled = world.admins["bob"].action("cancel", {"rotation_id": rotation_id}, client_id="client-one")
    assert world.send(canceled).status_code == 200

    assert not world.suite.distribution.distribute("client-one", rotation_id)

    assert log_of(world, rotation_id) == []


def test_a_rotation_past_its_deadline_is_not_sent(world: World) -> None:
    world.found("alice", "bob")
    rotation_id = asked_for(world, "client-one", [GROUP])
    world.clock.advance(minutes=30)

    assert not world.suite.distribution.distribute("client-one", rotation_id)

    assert log_of(world, rotation_id) == []


def test_what_was_redelivered_late_and_of_another_rotation_changes_nothing(world: World) -> None:
    world.found("alice", "bob")
    rotation_id = asked_for(world, "client-one", [GROUP])

    assert not world.suite.distribution.distribute("client-one", world.new_id())
    assert sent_state(world, "client-one", rotation_id) == UNSENT


THREE = (GROUP, OTHER_GROUP, "third-line-team")


def in_grace_and_asked_for(world: World, count: int) -> dict[str, str]:
    """Add clients of three groups, each with a current version and one in grace, and request one more rotation each."""
    world.found("alice", "bob", groups=THREE)
    names = [f"client-{number}" for number in range(count)]
    for name in names:
        world.add_client(name, THREE)
        for _ in range(2):
            world.issue("alice", "alice", client_id=name, supersede=True)
            world.clock.advance(hours=2)
    rotations = {}
    for name in names:
        event = world.admins["alice"].rotation(client_id=name, supersede=True)
        assert world.send(event).status_code == 200
        rotations[name] = str(json.loads(event.content)["rotation_id"])
    world.queue.clear()
    return rotations


def distributed(world: World, rotations: Mapping[str, str]) -> list[str]:
    return [name for name, rotation_id in rotations.items() if sent_state(world, name, rotation_id)[0] == "distributed"]


def test_a_batch_fills_one_commit_and_leaves_the_rest_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 rotations of clients in three groups with a version in grace needed 511 writes: none was ever sent.

    Here the limit is 50 writes and there are six clients. `make load` has the real numbers.
    """
    rotations = in_grace_and_asked_for(world, 6)
    for module in (distribute, document_values):
        monkeypatch.setattr(module, "MAX_WRITES", 50)
    generated: list[str] = []

    def recorded(randomness: bytes) -> str:
        generated.append(new_secret(randomness))
        return generated[-1]

    monkeypatch.setattr(distribute, "new_secret", recorded)
    name, rotation_id = next(iter(rotations.items()))
    assert on_wire(world, Wire())(name, rotation_id)
    first = distributed(world, rotations)
    assert 1 < len(first) < 6
    # No secret and no key call for what is not sent. One secret in 64 begins with a dash, and is drawn again.
    assert len([item for item in generated if item[0] != "-"]) == len(first)
    while left := sorted(set(rotations) - set(distributed(world, rotations))):
        assert on_wire(world, Wire())(left[0], rotations[left[0]])
    assert len({item for item in generated if item[0] != "-"}) == 6


def test_a_commit_that_is_too_large_halves_the_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.found("alice", "bob", groups=GROUPS)
    rotations = {name: asked_for(world, name) for name in (f"client-{number}" for number in range(8))}
    sizes: list[int] = []
    commit = WatchedStore.commit

    def limited(store: WatchedStore, writes: Sequence[Write], **given: Any) -> datetime:  # noqa: ANN401 - as a store's
        sizes.append(len(writes))
        if len(writes) > 40:
            raise CommitTooLarge("a commit has at most so many bytes")
        return commit(store, writes, **given)

    monkeypatch.setattr(WatchedStore, "commit", limited)
    last = list(rotations)[-1]
    assert on_wire(world, Wire())(last, rotations[last])
    assert last in distributed(world, rotations)
    assert sizes[0] > 40 >= sizes[-1]
    for name, rotation_id in rotations.items():
        on_wire(world, Wire())(name, rotation_id)
    assert_one_secret_each(world, rotations)


def test_a_single_delivery_beyond_the_limits_is_damage_and_not_tried_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.found("alice", "bob", groups=GROUPS)
    rotation_id = asked_for(world, "client-1")

    def refuse(_store: WatchedStore, _writes: Sequence[Write], **_given: object) -> datetime:
        raise CommitTooLarge("a commit has at most so many bytes")

    monkeypatch.setattr(WatchedStore, "commit", refuse)
    with pytest.raises(Broken, match="larger than a commit"):
        on_wire(world, Wire())("client-1", rotation_id)


def test_no_secret_looks_like_an_option(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.found("alice")
    drawn = [b"\xf8" * 32, b"\xfb" * 32, b"\x07" * 32]
    monkeypatch.setattr(distribute, "new_secret", lambda _randomness: new_secret(drawn.pop(0)))
    secret = world.issue("alice", "alice")
    assert (secret, drawn) == (new_secret(b"\x07" * 32), [])


def test_acknowledgements_in_envelopes_do_not_disturb_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each envelope wrote the group that a batch rests on: 60 rotations took 302 calls of the MAC key, not 62."""
    world.found("alice", "bob")
    first = asked_for(world, "client-one", [GROUP])
    assert on_wire(world, Wire())("client-one", first)
    bob = world.admins["bob"]
    ack = envelope(world, inside(bob, bob.ack(first)))
    rotation_id = asked_for(world, "client-two", [GROUP])
    commit, attempts = WatchedStore.commit, []

    def acknowledged_before(store: WatchedStore, writes: Sequence[Write], **given: Any) -> datetime:  # noqa: ANN401
        if any(write.path == paths.group(GROUP) for write in writes):
            attempts.append(writes)
            monkeypatch.setattr(WatchedStore, "commit", commit)
            assert world.send(ack).status_code == 200
            monkeypatch.setattr(WatchedStore, "commit", acknowledged_before)
        return commit(store, writes, **given)

    monkeypatch.setattr(WatchedStore, "commit", acknowledged_before)
    wire = Wire()
    assert on_wire(world, wire)("client-two", rotation_id)

    assert (len(attempts), Counter(wire.calls)["LocalMacKey.sign"]) == (1, 1)
    assert world.document(f"oauth2_rotations/{first}")["outcome"] == "promoted"
