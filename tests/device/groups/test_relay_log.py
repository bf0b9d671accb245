"""A device reads its group's log from a relay: in order, without gaps, and nothing that the service did not sign."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.nostr_relays import NostrRelays
from keyturn.cli.commands.inbox import relay_inbox
from keyturn.device.core.errors import UnreachableError, UsageError
from keyturn.device.groups.relay_log import RelayInbox, order_entries
from keyturn.ports.store import Query
from keyturn.records import paths

from tests.adapters.relay_process import RelayProcess
from tests.scenarios.people import Person
from tests.world import CLIENT, GROUP, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.world()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    process = RelayProcess(tmp_path)
    yield process
    process.kill()


def stored(world: World, collection: str, order_by: str) -> list[dict[str, object]]:
    found = world.control.inner.query(Query(collection, order_by=order_by))
    return [json.loads(str((item.data or {})["event"])) for item in found]


def log(world: World) -> list[dict[str, object]]:
    return stored(world, paths.messages(GROUP), "index")


def offers(world: World, npub: str) -> list[dict[str, object]]:
    return [event for event in stored(world, "key_packages", "group_id") if event["pubkey"] == npub]


def history(world: World) -> tuple[Person, str]:
    """Alice, who has read nothing since she joined; then Bob came, and two rotations; the id of the last."""
    alice = Person(world, "alice").join()
    bob = Person(world, "bob").join()
    world.add_client("second-client")
    for client_id in (CLIENT, "second-client"):
        world.clock.advance(seconds=5)
        last = str(bob.device.rotate(client_id, "because it is time")["rotation_id"])
        world.pump()
    return alice, last


def test_shuffled_and_doubled_events_come_in_the_logs_own_order(world: World) -> None:
    alice, last = history(world)
    events = log(world)
    shuffled = random.Random(3).sample(events * 2, 2 * len(events))
    entries = order_entries(alice.seat, shuffled, lambda npub: offers(world, npub), world.clock())
    on_server = alice.log(alice.seat.cursor)
    assert [entry["index"] for entry in entries] == [entry["index"] for entry in on_server]
    assert [entry["event"] for entry in entries] == [entry["event"] for entry in on_server]
    assert [entry["kind"] for entry in entries] == [entry["kind"] for entry in on_server]
    notices = alice.device._catch_up.take_entries(GROUP, entries)
    assert notices[-1].rotation_id == last
    assert alice.device.catch_up() == []  # the server goes on where the relay ended


def test_entries_behind_a_gap_are_left_for_the_server(world: World) -> None:
    alice, last = history(world)
    commits_and_last = [event for event in log(world) if event != log(world)[-3]]
    entries = order_entries(alice.seat, commits_and_last, lambda npub: offers(world, npub), world.clock())
    assert [entry["kind"] for entry in entries] == []
    assert last in {notice.rotation_id for notice in alice.device.catch_up()}


def test_commits_that_no_notice_follows_yet_are_left(world: World) -> None:
    alice, _ = history(world)
    without_the_last = log(world)[:-1]
    entries = order_entries(alice.seat, without_the_last, lambda npub: offers(world, npub), world.clock())
    assert entries[-1]["kind"] == "notice"
    assert entries[-1]["event"] == log(world)[-3]


def test_events_of_another_key_and_events_without_a_message_are_skipped(world: World) -> None:
    alice, _ = history(world)
    strangers = [
        json.loads(alice.device.context.signer.sign(445, [("h", GROUP)], str(log(world)[-1]["content"])).to_json())
    ]
    broken: list[dict[str, object]] = [{}, {"id": "x"}, {**log(world)[-1], "content": "AAAA", "id": "y"}]
    entries = order_entries(
        alice.seat, [*strangers, *broken, *log(world)], lambda npub: offers(world, npub), world.clock()
    )
    assert len(entries) == len(alice.log(alice.seat.cursor))


def test_from_a_real_relay_that_was_killed_in_between(world: World, relay: RelayProcess) -> None:
    alice, last = history(world)
    relay.start()
    everything = [json.dumps(event) for event in [*log(world), *stored(world, "key_packages", "group_id")]]
    NostrRelays([relay.url]).publish(relay.url, everything)
    relay.kill()
    inbox = RelayInbox(relay.url, timeout_seconds=3)
    with pytest.raises(UnreachableError):
        inbox.entries(alice.seat, world.clock())
    relay.start()
    assert alice.device.read_relay(inbox)[-1].rotation_id == last
    assert [sentence.endswith(" joined.") for sentence in alice.told] == [True]
    assert alice.device.read_relay(inbox) == []
    assert cast("str", alice.device.notice(last).secret)


def test_a_command_that_reads_from_a_relay_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert relay_inbox("wss://relay.example").url == "wss://relay.example"
    monkeypatch.setattr("keyturn.cli.commands.inbox.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="nostr-sdk"):
        relay_inbox("wss://relay.example")
