"""Publishing at a real relay, the one that nostr-sdk carries, which is killed, refuses, or dies without an answer."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.nostr_relays import NostrRelays
from keyturn.ports.relay import PublishResult
from keyturn.proofs.nostr import sign_event

from tests.adapters.relay_process import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = bytes(range(1, 33))


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    process = RelayProcess(tmp_path)
    yield process
    process.kill()


def event(content: str) -> str:
    fields = {"kind": 445, "tags": [["h", "ops"]], "content": content, "created_at": int(time.time())}
    return sign_event(KEY, random=os.urandom, **fields).to_json()  # type: ignore[arg-type]  # each of its type


def publish(relay: RelayProcess, *events: str) -> list[PublishResult]:
    return list(NostrRelays([relay.url], connect_seconds=2, answer_seconds=2).publish(relay.url, events))


def test_a_relay_takes_events_in_order_and_byte_for_byte(relay: RelayProcess) -> None:
    relay.start()
    events = [event("one"), event("two"), event("three")]
    assert publish(relay, *events) == [PublishResult.ACCEPTED] * 3
    assert relay.arrived() == events


def test_the_same_event_again_is_accepted_again(relay: RelayProcess) -> None:
    relay.start()
    one = event("one")
    assert [publish(relay, one), publish(relay, one)] == [[PublishResult.ACCEPTED]] * 2


def test_a_relay_that_refuses_has_refused_each(relay: RelayProcess) -> None:
    relay.start("refuse")
    assert publish(relay, event("one"), event("two")) == [PublishResult.REFUSED] * 2


def test_a_relay_that_dies_after_it_received_leaves_it_unknown(relay: RelayProcess) -> None:
    relay.start("die")
    one = event("one")
    assert publish(relay, one, event("two")) == [PublishResult.UNKNOWN] * 2
    assert relay.arrived() == [one]


def test_slow_relay_takes_what_it_can_in_its_time(relay: RelayProcess) -> None:
    relay.start("wait")  # half a second for each
    events = [event(str(number)) for number in range(20)]
    relays = NostrRelays([relay.url], connect_seconds=2, answer_seconds=2, batch_seconds=2)
    assert set(relays.publish(relay.url, events)) == {PublishResult.ACCEPTED, PublishResult.UNKNOWN}


def test_a_relay_that_is_not_there_leaves_it_unknown(relay: RelayProcess) -> None:
    assert publish(relay, event("one"), event("two")) == [PublishResult.UNKNOWN] * 2


@pytest.mark.parametrize("url", ["ws://", "http://127.0.0.1", "nonsense"])
def test_an_address_that_is_none_raises_nothing(url: str) -> None:
    assert list(NostrRelays([url]).publish(url, [event("one")])) == [PublishResult.UNKNOWN]


def test_what_is_no_event_is_not_sent_and_echoed_nowhere(relay: RelayProcess, caplog: pytest.LogCaptureFixture) -> None:
    relay.start()
    assert publish(relay, '{"content": "do-not-echo"}') == [PublishResult.UNKNOWN]
    assert relay.arrived() == []
    assert "do-not-echo" not in caplog.text
