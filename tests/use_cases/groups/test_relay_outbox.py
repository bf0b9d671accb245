"""What the service says goes to relays: in the commit, after it, again from the stored bytes, and not for ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.nostr_relays import NostrRelays
from keyturn.ports.relay import PublishResult
from keyturn.ports.store import Query, StoreUnavailable
from keyturn.records import paths
from keyturn.records.schema import kind_of
from keyturn.use_cases.groups.relay_outbox import DEAD_POST_RETENTION, RETRY_PERIOD, PublishOutbox

from tests.adapters.relay_process import RelayProcess
from tests.use_cases.faults import Died, Wire
from tests.use_cases.groups.answering_relays import Answering
from tests.world import CLIENT, EACH_STORE, GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from keyturn.ports.relay import Relays

    from tests.world import World

NEAR, FAR = "wss://near.example", "wss://far.example"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    process = RelayProcess(tmp_path)
    yield process
    process.kill()


def relayed(world: World, relays: Relays) -> PublishOutbox:
    """Have the world's suite publish at these relays, as settings would."""
    world.serve(relays=relays)
    publish_log = world.suite.distribution.publish_log
    assert publish_log is not None
    return publish_log


def waiting(world: World) -> dict[str, dict[str, object]]:
    found = world.control.inner.query(Query(paths.RELAY_OUTBOX, order_by="due_at"))
    return {item.path: dict(item.data or {}) for item in found}


def said(world: World) -> set[str]:
    """Return all events that the service has stored: the log, key packages and Welcomes."""
    places = ("mls_groups/", "key_packages/", "welcomes/")
    stored = [world.document(path) for path in world.documents() if path.startswith(places)]
    return {str(data["event"]) for data in stored if data.get("event")}


@EACH_STORE
def test_all_that_is_said_arrives_once_at_each_relay(world: World) -> None:
    relays = Answering({NEAR: PublishResult.ACCEPTED, FAR: PublishResult.ACCEPTED})
    relayed(world, relays)
    world.found("alice", "bob")
    world.issue("alice", "alice")
    world.sweep()
    for url in (NEAR, FAR):
        assert sorted(relays.arrived[url]) == sorted(said(world))
    assert {json.loads(event)["kind"] for event in relays.arrived[NEAR]} == {443, 444, 445}
    assert waiting(world) == {}


def test_without_relays_there_is_no_outbox(world: World) -> None:
    world.found("alice")
    assert world.suite.distribution.publish_log is None
    assert waiting(world) == {}


def test_a_post_is_of_its_kind_and_holds_no_message(world: World) -> None:
    relayed(world, Answering({NEAR: PublishResult.UNKNOWN}))
    world.found("alice")
    posts = waiting(world)
    assert len(posts) == 3  # a commit, a key package, a Welcome
    for path, data in posts.items():
        kind = kind_of(path)
        assert kind is not None
        assert list(kind.shape.problems(cast("dict[str, None]", data))) == []
        assert all(json.loads(event)["content"] not in repr(data) for event in said(world))


def test_an_unknown_outcome_is_tried_again_later_with_the_same_bytes(world: World) -> None:
    relays = Answering({NEAR: PublishResult.UNKNOWN, FAR: PublishResult.ACCEPTED})
    publish_log = relayed(world, relays)
    world.found("alice")
    assert publish_log() == 3
    assert publish_log() == 0  # not at once
    world.clock.advance(seconds=11)
    assert publish_log() == 3
    world.clock.advance(seconds=11)
    assert publish_log() == 0  # the pause has grown
    relays.says[NEAR] = PublishResult.ACCEPTED
    world.clock.advance(seconds=11)
    assert publish_log() == 3
    assert sorted(relays.arrived[NEAR]) == sorted([*said(world)] * 3)
    assert sorted(relays.arrived[FAR]) == sorted(said(world))  # which had decided
    assert waiting(world) == {}


def test_what_every_relay_refuses_is_a_dead_note_that_ends(world: World) -> None:
    relays = Answering({NEAR: PublishResult.REFUSED, FAR: PublishResult.REFUSED})
    publish_log = relayed(world, relays)
    world.found("alice")
    publish_log()
    assert {data["dead"] for data in waiting(world).values()} == {True}
    world.clock.advance(days=8)
    assert publish_log() == 0
    assert len(relays.arrived[NEAR]) == 3
    world.clock.now += DEAD_POST_RETENTION
    assert publish_log() == 0
    assert waiting(world) == {}


def test_what_one_relay_refuses_and_another_takes_is_done(world: World) -> None:
    publish_log = relayed(world, Answering({NEAR: PublishResult.REFUSED, FAR: PublishResult.ACCEPTED}))
    world.found("alice")
    publish_log()
    assert waiting(world) == {}


def test_what_no_relay_answers_for_a_month_is_given_up(world: World) -> None:
    relays = Answering({NEAR: PublishResult.UNKNOWN})
    publish_log = relayed(world, relays)
    world.found("alice")
    world.clock.now += RETRY_PERIOD
    publish_log()
    assert {data["dead"] for data in waiting(world).values()} == {True}


def test_a_message_that_has_ended_is_not_published_any_more(world: World) -> None:
    relays = Answering({NEAR: PublishResult.UNKNOWN})
    publish_log = relayed(world, relays)
    world.found("alice")
    publish_log()
    world.suite.freeze.freeze("restored")
    world.clock.advance(minutes=1)
    assert publish_log() == 0  # frozen: a copy sends nothing
    relays.says[NEAR] = PublishResult.ACCEPTED
    world.suite.freeze.thaw()
    assert publish_log() == 2  # the key package and the Welcome; the log is gone
    assert waiting(world) == {}


@EACH_STORE
def test_killed_at_any_call_nothing_is_lost(world: World) -> None:
    relays = Answering({NEAR: PublishResult.ACCEPTED})
    relayed(world, relays)
    world.found("alice")
    whole = Wire()
    assert PublishOutbox(whole.port(world.control), whole.port(relays), world.suite.environment)() == 3
    for at, after in [(at, after) for at in range(len(whole.calls)) for after in (False, True)]:
        world.join(f"user-{at}-{after}")
        wire = Wire(at, after)
        with pytest.raises(Died):
            PublishOutbox(wire.port(world.control), wire.port(relays), world.suite.environment)()
        world.clock.advance(minutes=6)
        PublishOutbox(world.control, relays, world.suite.environment)()
        assert waiting(world) == {}
    assert set(relays.arrived[NEAR]) == said(world)


def test_a_store_that_does_not_answer_fails_nothing(world: World) -> None:
    wire = Wire(0, error=StoreUnavailable)
    assert (
        PublishOutbox(wire.port(world.control), Answering({NEAR: PublishResult.ACCEPTED}), world.suite.environment)()
        == 0
    )


def test_two_workers_publish_each_post_once(world: World) -> None:
    relays = Answering({NEAR: PublishResult.ACCEPTED})
    publish_log = relayed(world, relays)
    world.found("alice")

    class Racing(Answering):
        def publish(self, url: str, events: Sequence[str]) -> Sequence[PublishResult]:
            assert publish_log() == 0  # another worker, meanwhile: all is taken
            return super().publish(url, events)

    assert PublishOutbox(world.control, Racing({NEAR: PublishResult.ACCEPTED}), world.suite.environment)() == 3
    assert waiting(world) == {}


def test_a_real_relay_killed_and_started_again_has_it_all(world: World, relay: RelayProcess) -> None:
    relays = NostrRelays([relay.url], connect_seconds=2, answer_seconds=2)
    publish_log = relayed(world, relays)
    relay.start()
    world.found("alice", "bob")
    publish_log()
    relay.kill()
    world.issue("alice", "alice")  # a rotation needs no relay
    assert len(waiting(world)) >= 2
    relay.start("die")
    world.clock.advance(minutes=1)
    publish_log()
    relay.kill()
    assert len(waiting(world)) >= 2
    relay.start()
    world.clock.advance(hours=1)
    publish_log()
    assert set(relay.arrived()) == said(world)  # byte for byte, however often
    assert len(relay.arrived()) == len(said(world)) + 1  # the one that it died of came twice
    assert waiting(world) == {}
    assert world.document(paths.client(CLIENT))["current_version"]
    assert world.document(paths.group(GROUP))["next_index"] > 4
