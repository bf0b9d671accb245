"""Callers' tags: the same caller has the same tag in every process, and no address can be read from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from keyturn.ports.store import Create, StoreUnavailable
from keyturn.records import paths
from keyturn.verifier import callers as module
from keyturn.verifier.callers import RETRY_SECONDS, CallerTags, Salt, caller_tag, network_of, product_of

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.ports.store import Snapshot

SALT = bytes(range(32))


class Counted(MemoryStore):
    """A store whose reads are counted, and can be made to fail."""

    def __init__(self, salt: bytes | None = SALT) -> None:
        super().__init__(lambda: datetime(2026, 3, 1, tzinfo=UTC))
        self.reads = 0
        self.down = False
        if salt:
            self.commit([Create(paths.SALT, {"salt": salt})])

    def get(self, paths: Iterable[str]) -> Snapshot:
        self.reads += 1
        if self.down:
            raise StoreUnavailable("down")
        return super().get(paths)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(store: MemoryStore, clock: Clock | None = None) -> CallerTags:
    return CallerTags(Salt(store, clock or Clock()))


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("", ""),
        ("not an address", ""),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_a_network_is_all_that_counts_of_an_address(source: str, network: str) -> None:
    assert network_of(source) == network


@pytest.mark.parametrize(
    ("agent", "product"),
    [
        ("python-requests/2.32.3", "python-requests"),
        ("Mozilla/5.0 (X11)", "Mozilla"),
        ("", ""),
        ("/1", ""),
        ("ü", ""),
        ("a" * 400, "a" * 40),
    ],
)
def test_a_product_is_all_that_counts_of_an_agent(agent: str, product: str) -> None:
    assert product_of(agent) == product


def test_tags_are_alike_in_every_process_and_tell_callers_apart() -> None:
    store = Counted()
    processes = [made(store) for _ in range(2)]
    asked = [("203.0.113.7", "web/1"), ("203.0.113.99", "web/2"), ("203.0.113.7", "job/1"), ("198.51.100.1", "web/1")]
    tags = [[callers.resolve(callers.tag(*item)) for item in asked] for callers in processes]
    assert tags[0] == tags[1]
    assert tags[0][0] == tags[0][1]
    assert len(set(tags[0])) == 3
    assert all(len(tag) == 8 for tag in tags[0])


def test_another_salt_makes_other_tags() -> None:
    assert caller_tag(SALT, "203.0.113.7", "web") != caller_tag(bytes(32), "203.0.113.7", "web")


def test_a_request_never_waits_for_the_store() -> None:
    store = Counted()
    callers = made(store)
    provisional = callers.tag("203.0.113.7", "web/1")
    assert store.reads == 0
    stored = callers.resolve(provisional)
    assert (stored, store.reads) == (caller_tag(SALT, "203.0.113.7", "web/1"), 1)
    assert callers.tag("203.0.113.7", "web/1") == callers.resolve(stored) == stored
    assert store.reads == 1


def test_without_a_salt_there_is_no_tag_and_it_is_asked_for_again_later() -> None:
    store, clock = Counted(None), Clock()
    callers = made(store, clock)
    for _ in range(3):
        assert callers.resolve(callers.tag("203.0.113.7", "web")) == ""
    assert store.reads == 1
    store.commit([Create(paths.SALT, {"salt": SALT})])
    clock.now += RETRY_SECONDS
    assert callers.resolve(callers.tag("203.0.113.7", "web")) == caller_tag(SALT, "203.0.113.7", "web")


def test_a_store_that_is_down_costs_tags_and_nothing_else() -> None:
    store = Counted()
    store.down = True
    callers = made(store)
    assert callers.resolve(callers.tag("203.0.113.7", "web")) == ""


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 5)
    monkeypatch.setattr(module, "_MOST_PROVISIONAL", 5)
    callers = made(Counted())
    waiting = [callers.tag(f"10.0.{number}.1", "web") for number in range(8)]
    assert [bool(tag) for tag in waiting] == [True] * 5 + [False] * 3
    assert callers.resolve(waiting[0])
    for number in range(20):
        assert callers.tag(f"10.0.{number}.1", "web")
        assert len(callers._tags) <= 5
    assert callers.resolve("?never seen here") == ""


def test_of_a_long_agent_no_more_is_kept_than_counts() -> None:
    callers = made(Counted())
    callers.resolve(callers.tag("203.0.113.9", "curl"))
    product = "p" * 40
    tags = {callers.tag("203.0.113.9", product + str(count) * 8000) for count in range(9)}
    assert tags == {caller_tag(SALT, "203.0.113.9", product)}
    assert sum(len(agent) for _, agent in callers._tags) == len(product)
