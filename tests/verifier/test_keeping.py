"""Keeping verdicts: what a check costs, and what ends a kept one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.model import ClientStatus
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreUnavailable, put
from keyturn.records import paths
from keyturn.verifier import cache
from keyturn.verifier import shared_reads as reading
from keyturn.verifier.verdict import Reason
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.stage import Process, Stage
from tests.world import CLIENT, START

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.world import World

WRONG = "A" * 43


def spent(process: Process, secret: str, client_id: str = "acme") -> tuple[bool, list[str], int]:
    """Return the verdict, and what of store and MAC key it took."""
    process.store.calls.clear()
    process.mac.verified = 0
    accepted = process.verifier.check(client_id, secret).accepted
    return accepted, list(process.store.calls), process.mac.verified


def test_a_first_right_secret_costs_one_read_and_one_mac_and_then_nothing() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    assert spent(process, secret) == (True, ["get"], 1)
    assert [spent(process, secret) for _ in range(3)] == [(True, [], 0)] * 3


def test_wrong_secrets_cost_no_mac_and_one_read_a_second() -> None:
    stage = Stage()
    process = stage.process()
    stage.promote("acme")
    assert spent(process, WRONG) == (False, ["get"], 0)
    assert [spent(process, WRONG) for _ in range(3)] == [(False, [], 0)] * 3
    stage.clock.seconds += 1.01
    assert spent(process, WRONG) == (False, ["get"], 0)


def test_who_was_refused_is_accepted_a_second_after_the_promotion() -> None:
    stage = Stage()
    process, old = stage.process(), stage.promote("acme")
    assert process.verifier.check("acme", WRONG).reason is Reason.NO_MATCH
    new = stage.promote("acme")
    stage.clock.seconds += 1.01
    assert [process.verifier.check("acme", secret).state for secret in (new, old)] == ["current", "grace"]


def test_without_polls_a_yes_is_no_older_than_the_bound() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    assert spent(process, secret)[0]
    stage.clock.seconds += 4.99
    assert spent(process, secret) == (True, [], 0)
    stage.clock.seconds += 0.02
    assert spent(process, secret) == (True, ["get"], 1)


def test_polls_keep_a_yes_for_a_minute_and_not_longer() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    assert spent(process, secret)[0]
    for _ in range(29):
        stage.clock.seconds += 2
        process.verifier.poll()
        assert spent(process, secret) == (True, [], 0)
    stage.clock.seconds += 2.01
    process.verifier.poll()
    assert spent(process, secret) == (True, ["get"], 1)


@pytest.mark.parametrize("late", [0.0, 29.0])
def test_a_poll_finds_a_change_whenever_it_was_decided_and_however_long_the_store_worked(late: float) -> None:
    stage = Stage()
    process, old = stage.process(), stage.promote("acme")
    stage.promote("acme")
    assert spent(process, old)[0]
    for _ in range(int(late)):
        stage.clock.seconds += 1
        process.verifier.poll()
    assert spent(process, old) == (True, [], 0)
    stage.retire("acme", worked=late)
    assert spent(process, old) == (True, [], 0)
    process.verifier.poll()
    assert spent(process, old)[0] is False


ENDS: dict[str, Callable[[Stage], None]] = {
    "suspend": lambda stage: stage.stand("acme", ClientStatus.SUSPENDED),
    "revoke": lambda stage: stage.stand("acme", ClientStatus.REVOKED),
    "promote without grace": lambda stage: cast("None", stage.promote("acme", grace_seconds=0)),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_poll_ends_what_was_kept(name: str) -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    assert spent(process, secret)[0]
    stage.clock.seconds += 2
    ENDS[name](stage)
    process.verifier.poll()
    assert spent(process, secret)[0] is False


def test_a_kept_yes_ends_at_its_window_without_any_poll() -> None:
    stage = Stage()
    process, old = stage.process(offset=-3600), stage.promote("acme")
    stage.promote("acme", grace_seconds=3)
    assert process.verifier.check("acme", old).state == "grace"
    stage.clock.seconds += 2.99
    assert spent(process, old) == (True, [], 0)
    stage.clock.seconds += 0.01
    assert spent(process, old)[0] is False


def test_a_check_notices_that_a_poll_is_due_every_half_bound() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    for seconds, due in ((0.0, 1), (2.4, 0), (0.2, 1), (2.4, 0)):
        stage.clock.seconds += seconds
        process.verifier.check("acme", secret)
        assert len(process.waiting) == due
        process.poll()


def test_an_outage_is_no_yes_past_the_bound_and_no_no_either() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    assert spent(process, secret)[0]
    process.store.down = True
    process.poll()
    stage.clock.seconds += 4
    assert spent(process, secret) == (True, [], 0)
    stage.clock.seconds += 2
    for presented in (secret, WRONG):
        with pytest.raises(StoreUnavailable):
            process.verifier.check("acme", presented)
    process.store.down = False
    assert spent(process, secret)[0]


def test_a_jump_of_the_stores_clock_ends_everything_kept() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    process.verifier.poll()
    assert spent(process, secret)[0]
    cast("Any", stage.store)._clock = lambda: stage.clock() + timedelta(minutes=10)
    process.verifier.poll()
    assert spent(process, secret) == (True, ["get"], 1)


def test_a_store_that_shows_less_than_before_is_not_believed() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    path = paths.client("acme")
    before = cast("Any", stage.store.get([path])[path].data)
    stage.stand("acme", ClientStatus.SUSPENDED)
    assert not process.verifier.check("acme", secret).accepted
    stage.store.commit([put(stage.store.get([path])[path], before)])
    stage.clock.seconds += 2
    with pytest.raises(StoreUnavailable):
        process.verifier.check("acme", secret)


def test_a_revoked_client_stays_revoked_whatever_the_store_says_later() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    stage.stand("acme", ClientStatus.REVOKED)
    assert process.verifier.check("acme", secret).reason is Reason.REVOKED
    stage.stand("acme", ClientStatus.ACTIVE)
    stage.clock.seconds += 2
    with pytest.raises(StoreUnavailable):
        process.verifier.check("acme", secret)


def test_a_verdict_that_took_longer_than_the_bound_is_none() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")

    def slow() -> None:
        stage.clock.seconds += 6

    process.store.during = slow
    with pytest.raises(StoreUnavailable):
        process.verifier.check("acme", secret)


def test_a_read_that_a_poll_overtook_is_read_again() -> None:
    stage = Stage()
    process, old = stage.process(), stage.promote("acme")
    new = stage.promote("acme")
    assert process.verifier.check("acme", new).accepted
    stage.clock.seconds += 2

    def overtaken() -> None:
        stage.retire("acme")
        process.verifier.poll()

    process.store.during = overtaken
    assert process.verifier.check("acme", old).accepted is False


def test_a_mac_key_out_of_reach_is_no_verdict_and_nothing_is_kept() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    process.mac.down = True
    with pytest.raises(KeyUnavailable):
        process.verifier.check("acme", secret)
    process.mac.down = False
    assert spent(process, secret)[2] == 1


def test_the_second_reading_of_a_value_is_kept_and_costs_no_second_read() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    for expected in (["get"], []):
        process.store.calls.clear()
        assert process.verifier.check("acme", "wrong", otherwise=secret).accepted
        assert process.store.calls == expected
    assert process.mac.verified == 1


def test_what_is_split_otherwise_is_not_found() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    assert process.verifier.check("acme", secret).accepted
    assert not process.verifier.check("ac", "me" + secret).accepted
    assert not process.verifier.check("acme" + secret[0], secret[1:]).accepted
    assert not process.verifier.check("\ud800", secret).accepted


@pytest.mark.parametrize("form", ["{}", "{:>43}", "\0v{}", "v{}"])
def test_what_is_kept_for_a_version_is_found_by_no_secret_nor_the_other_way_round(form: str) -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    version_id = process.verifier.check("acme", secret).version_id
    assert process.verifier.check_version("acme", version_id).accepted
    assert not process.verifier.check("acme", form.format(version_id)).accepted
    assert not process.verifier.check("acme\0", form.format(version_id)).accepted
    assert not process.verifier.check_version("acme", secret).accepted


def test_a_kept_verdicts_time_goes_on() -> None:
    stage = Stage()
    process, secret = stage.process(offset=600), stage.promote("acme")
    process.verifier.check("acme", secret)
    stage.clock.seconds += 3
    assert process.verifier.check("acme", secret).now == stage.clock()


def test_nothing_shows_a_key_or_a_secret() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    verdict = process.verifier.check("acme", secret)
    cache = cast("Any", process.verifier)._cache
    entry = next(iter(cache._entries.values()))
    shown = repr([process.verifier, cache, entry, verdict])
    assert secret not in shown
    assert repr(cache._key) not in shown


def test_what_time_alone_brings_ends_what_was_kept_at_that_instant(world: World) -> None:
    def seconds() -> float:
        return (world.clock.now - START).total_seconds()

    caching = Caching(seconds, background=lambda _poll: None)
    verifier = Verifier(world.control, world.keys.mac, world.policy, caching=caching)
    first = world.issue("alice", "bob")
    second = world.issue("alice", "bob", not_before=world.milliseconds(hours=1))
    world.clock.advance(minutes=59, seconds=57)
    assert verifier.check(CLIENT, first).state == "current"
    assert not verifier.check(CLIENT, second).accepted
    world.clock.advance(seconds=3)
    assert [verifier.check(CLIENT, secret).state for secret in (first, second)] == ["grace", "current"]
    world.control.calls.clear()
    verifier.check(CLIENT, first)
    assert world.control.calls == []
    world.clock.advance(minutes=59, seconds=58)
    assert verifier.check(CLIENT, first).accepted
    world.clock.advance(seconds=2)
    assert not verifier.check(CLIENT, first).accepted


def test_many_threads_get_right_answers_and_share_one_read() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    together = Barrier(8)

    def ask(number: int) -> list[bool]:
        together.wait()
        return [process.verifier.check("acme", secret if number % 2 else WRONG).accepted for _ in range(200)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert [set(found) for found in answers] == [{False}, {True}] * 4
    assert process.store.calls == ["get"]


def test_those_who_wait_for_a_read_hear_that_it_failed() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    process.store.down = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            process.verifier.check("acme", secret)
    process.store.down = False
    assert process.verifier.check("acme", secret).accepted


def test_room_is_made_by_forgetting_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_CLIENTS", 2)
    monkeypatch.setattr(cache, "MOST_VERDICTS", 2)
    monkeypatch.setattr(reading, "MOST_SHARED", 1)
    stage = Stage()
    process = stage.process()
    secrets = {name: stage.promote(name) for name in ("acme", "beta", "gamma")}
    for name, secret in secrets.items():
        assert spent(process, secret, name) == (True, ["get"], 1)
    assert [spent(process, secrets[name], name)[2] for name in ("gamma", "beta", "acme")] == [0, 0, 1]


def test_a_damaged_record_that_a_poll_finds_ends_what_was_kept() -> None:
    stage = Stage()
    process, secret = stage.process(), stage.promote("acme")
    path = paths.client("acme")
    assert spent(process, secret)[0]
    found = stage.store.get([path])[path]
    damaged = {**cast("Any", found.data), "revision": "many", "updated_at": stage.clock()}
    stage.store.commit([put(found, damaged)])
    process.verifier.poll()
    stage.clock.seconds += 1.01
    process.store.calls.clear()
    with pytest.raises(StoreUnavailable):
        process.verifier.check("acme", secret)
    assert process.store.calls == ["get", "get"]


def test_a_poll_does_not_vouch_for_what_came_after_it_had_looked() -> None:
    stage = Stage()
    process, old = stage.process(), stage.promote("acme")
    stage.promote("acme")

    def overtaken() -> None:
        stage.clock.seconds += 0.1
        stage.retire("acme")
        stage.clock.seconds += 0.9
        process.verifier.poll()

    process.store.during = overtaken
    assert process.verifier.check("acme", old).accepted  # as of when its read began
    stage.clock.seconds += 4.2
    assert not process.verifier.check("acme", old).accepted
