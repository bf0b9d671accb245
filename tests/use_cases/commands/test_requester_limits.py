"""Limits: a person's requests in a sliding hour, whichever key and group; many at once; when a place is free."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, local
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.core.errors import ServerRefusedError
from keyturn.domain.errors import RateLimited
from keyturn.use_cases.commands import requester_limits as limits

from tests.world import EACH_STORE, GROUP, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    from keyturn.ports.store import Document, Query, Snapshot, Store, Write
    from keyturn.proofs.nostr import Event
    from werkzeug.test import TestResponse

    from tests.world import Admin, World

MANY = 64
OTHERS = "other-team"


def founded(world: World, limit: int, clients: int = 1, **policy: Any) -> World:  # noqa: ANN401 - the fields of Policy
    """Found a group with Alice and Bob, and clients `c-0`, `c-1` …; a person may ask so often within an hour."""
    world.serve(replace(QUICK, requests_per_hour_per_requester=limit, **policy))
    world.found("alice", "bob")
    for number in range(clients):
        world.add_client(f"c-{number}")
    return world


def asked(world: World, client: int, who: Admin | None = None, group: str = GROUP) -> TestResponse:
    return world.send((who or world.admins["alice"]).rotation(client_id=f"c-{client}", group=group))


def outcome(answer: TestResponse) -> tuple[int, str]:
    body: Any = answer.json
    return answer.status_code, str(body.get("reason", ""))


def retry_after(answer: TestResponse) -> int:
    assert outcome(answer) == (429, "rate")
    return int(answer.headers["Retry-After"])


# --- whose requests count, and which ---------------------------------------------------------------------------------


def test_a_person_is_counted_whichever_device_and_group_it_comes_from(world: World) -> None:
    founded(world, limit=3, clients=2)
    assert world.operator("/groups", {"group_id": OTHERS}).status_code == 200
    world.add_client("c-2", [OTHERS])
    world.add_client("c-3", [OTHERS])
    second = world.new_admin("alice-on-another-device")
    second.device.join(world.invite("alice"))
    second.device.join(world.invite("alice", OTHERS))
    given = [asked(world, 0), asked(world, 1, second), asked(world, 2, second, OTHERS)]
    assert [answer.status_code for answer in given] == [200, 200, 200]
    assert outcome(asked(world, 3, second, OTHERS)) == (429, "rate")
    bob = world.admins["bob"]
    bob.device.join(world.invite("bob", OTHERS))
    assert asked(world, 3, bob, OTHERS).status_code == 200


def test_only_requests_that_were_taken_count(world: World) -> None:
    founded(world, limit=2, clients=2)
    first = world.admins["alice"].rotation(client_id="c-0")
    assert world.send(first).status_code == 200
    assert world.send(first).status_code == 200  # the same answer again
    assert outcome(asked(world, 0)) == (409, "rotation_active")
    assert world.send(world.admins["alice"].action("suspend", client_id="c-0")).status_code == 200
    assert asked(world, 1).status_code == 200
    assert outcome(world.send(world.admins["alice"].rotation(emergency=True))) == (429, "rate")


def test_a_request_through_a_group_that_is_not_the_clients_is_refused_and_not_counted(world: World) -> None:
    founded(world, limit=1)
    assert world.operator("/groups", {"group_id": OTHERS}).status_code == 200
    world.admins["alice"].device.join(world.invite("alice", OTHERS))
    assert outcome(asked(world, 0, group=OTHERS)) == (403, "not_in_group")
    assert outcome(asked(world, 0, group="no-such-group")) == (403, "not_in_group")
    assert asked(world, 0).status_code == 200


def test_an_unknown_signer_is_refused(world: World) -> None:
    founded(world, limit=1)
    assert outcome(asked(world, 0, world.new_admin("mallory"))) == (403, "not_authorised")


def test_requests_inside_mls_count_like_any_other(world: World) -> None:
    founded(world, limit=2, clients=3)
    device = world.admins["alice"].device
    assert device.rotate("c-0", "inside")["client_id"] == "c-0"
    assert asked(world, 1).status_code == 200
    with pytest.raises(ServerRefusedError) as caught:
        device.rotate("c-2", "inside")
    assert (caught.value.status, caught.value.reason) == (429, "rate")
    world.clock.advance(hours=1)
    assert device.rotate("c-2", "inside")["client_id"] == "c-2"


# --- when a place is free --------------------------------------------------------------------------------------------


def test_retry_after_is_when_the_window_frees_a_place_and_not_a_second_later(world: World) -> None:
    founded(world, limit=2, clients=5)
    assert asked(world, 0).status_code == 200
    world.clock.advance(minutes=10)
    assert asked(world, 1).status_code == 200
    world.clock.advance(minutes=20, milliseconds=300)
    wait = retry_after(asked(world, 2))
    assert wait == 1800
    world.clock.advance(seconds=wait - 1)
    assert retry_after(asked(world, 2)) == 1
    world.clock.advance(seconds=1)
    assert asked(world, 2).status_code == 200
    assert retry_after(asked(world, 3)) == 600  # the second of the two is the next to leave


def test_the_longer_of_both_waits_is_told(world: World) -> None:
    founded(world, limit=2, clients=3, requests_per_hour_per_client=1)
    assert asked(world, 0).status_code == 200
    world.clock.advance(minutes=20)
    assert asked(world, 1).status_code == 200
    cancelled = world.document("oauth2_clients/c-1")["active_rotation"]
    cancel = world.admins["bob"].action("cancel", {"rotation_id": cancelled}, client_id="c-1")
    assert world.send(cancel).status_code == 200
    assert retry_after(asked(world, 2)) == 40 * 60  # only the person's window is full
    assert retry_after(asked(world, 1)) == 60 * 60  # the client's is, too, and for longer


# --- many at once ----------------------------------------------------------------------------------------------------


def at_once(calls: Sequence[Callable[[], TestResponse]]) -> list[TestResponse]:
    start = Barrier(len(calls))

    def call(one: Callable[[], TestResponse]) -> TestResponse:
        start.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def requests(world: World, count: int) -> list[Callable[[], TestResponse]]:
    events = [world.admins["alice"].rotation(client_id=f"c-{number}") for number in range(count)]
    return [lambda event=event: world.send(event) for event in events]  # type: ignore[misc]  # bound now


@EACH_STORE
def test_one_person_asks_for_64_clients_at_once_and_all_succeed(world: World) -> None:
    founded(world, limit=MANY, clients=MANY + 1)
    answers = at_once(requests(world, MANY))
    assert [outcome(answer) for answer in answers] == [(200, "")] * MANY
    assert outcome(asked(world, MANY)) == (429, "rate")
    stored = [path for path in world.documents() if path.startswith("rates/")]
    assert 1 < len(stored) <= limits.SHARDS


@EACH_STORE
def test_what_runs_at_once_exceeds_the_limit_by_less_than_the_shards(world: World) -> None:
    limit = 10
    founded(world, limit=limit, clients=MANY + 1)
    statuses = [answer.status_code for answer in at_once(requests(world, MANY))]
    assert limit <= statuses.count(200) <= limit + limits.OVERSHOOT
    assert statuses.count(200) + statuses.count(429) == MANY
    assert outcome(asked(world, MANY)) == (429, "rate")


class ReadTogether:
    """A store with a barrier before the first commits, so that the first decisions rest on the same instant."""

    def __init__(self, inner: Store, parties: int) -> None:
        self._inner = inner
        self._barrier = Barrier(parties)
        self._mine = local()

    def get(self, paths: Iterable[str]) -> Snapshot:
        return self._inner.get(paths)

    def query(self, query: Query) -> Sequence[Document]:
        return self._inner.query(query)

    @property
    def longest_commit(self) -> timedelta:
        return self._inner.longest_commit

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        if not getattr(self._mine, "waited", False):
            self._mine.waited = True
            self._barrier.wait()
        return self._inner.commit(writes, basis=basis)


def in_shard(world: World, shard: int, client: int) -> Event:
    """Return a request for a client with an event in the given shard."""
    while True:
        event = world.admins["alice"].rotation(client_id=f"c-{client}")
        if limits.shard_of(event.id) == shard:
            return event


def accepted_together(world: World, events: Sequence[Event]) -> list[str]:
    """Have all of them read before any commits; what each came to."""
    suite = world.new_suite(control=ReadTogether(world.control, len(events)))

    def accept(event: Event) -> str:
        try:
            suite.commands.accept(event.to_json().encode())
        except RateLimited as refusal:
            return refusal.reason
        return "accepted"

    with ThreadPoolExecutor(len(events)) as pool:
        return sorted(pool.map(accept, events))


def test_the_worst_that_can_happen_is_one_too_many_in_every_other_shard(world: World) -> None:
    founded(world, limit=1, clients=limits.SHARDS)
    events = [in_shard(world, shard, shard) for shard in range(limits.SHARDS)]
    assert accepted_together(world, events) == ["accepted"] * (1 + limits.OVERSHOOT)


def test_within_a_shard_requests_are_counted_one_by_one(world: World) -> None:
    founded(world, limit=1, clients=4)
    events = [in_shard(world, 0, client) for client in range(4)]
    assert accepted_together(world, events) == ["accepted", "rate", "rate", "rate"]


def test_a_shard_is_forgotten_once_its_window_is_over(world: World) -> None:
    founded(world, limit=2, clients=1)
    assert asked(world, 0).status_code == 200
    world.clock.advance(hours=3)
    world.sweep()
    assert [path for path in world.documents() if path.startswith("rates/")] == []
