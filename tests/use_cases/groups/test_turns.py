"""Turns: first come, first served, one at a time, and nobody waits for ever."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.ports.effects import wait
from keyturn.ports.store import LostRace
from keyturn.use_cases.groups.turns import WAIT_SECONDS, Turns

from tests.world import EACH_STORE, GROUP

if TYPE_CHECKING:
    from tests.world import World

DEADLINE_SECONDS = 60
USERS = tuple(f"user-{number}" for number in range(8))


def test_one_at_a_time_in_the_order_of_coming() -> None:
    turns, order, running = Turns(wait), [], []
    is_taken, has_queued = Event(), Event()

    def act(number: int) -> None:
        with turns.take("ops"):
            running.append(number)
            assert len(running) == 1
            if number == 0:
                is_taken.set()
                assert has_queued.wait(DEADLINE_SECONDS)
            order.append(number)
            running.remove(number)

    with ThreadPoolExecutor(5) as pool:
        acts = [pool.submit(act, 0)]
        assert is_taken.wait(DEADLINE_SECONDS)
        for number in range(1, 5):
            acts.append(pool.submit(act, number))
            while len(turns._queues["ops"]) <= number:
                pass
        has_queued.set()
        for item in acts:
            item.result(DEADLINE_SECONDS)
    assert order == [0, 1, 2, 3, 4]
    assert not turns._queues


def test_other_names_do_not_wait() -> None:
    turns = Turns(never)
    with turns.take("ops"), turns.take("dev"):
        pass
    assert not turns._queues


def never(_future: Future[Any], _seconds: float) -> None:
    raise AssertionError


def test_who_waited_long_enough_goes_on_without_a_turn() -> None:
    waits: list[float] = []

    def give_up(future: Future[Any], seconds: float) -> None:
        waits.append(seconds)
        assert not future.done()
        raise TimeoutError

    turns = Turns(give_up)
    with turns.take("ops"):
        with turns.take("ops"):
            pass
        with turns.take("ops"):
            pass
    assert waits == [WAIT_SECONDS, WAIT_SECONDS]
    assert not turns._queues


def test_a_failed_act_gives_its_turn_away() -> None:
    turns = Turns(never)
    with pytest.raises(LostRace), turns.take("ops"):
        raise LostRace
    with turns.take("ops"):
        pass


@pytest.mark.world(*USERS)
@EACH_STORE
def test_devices_that_come_back_at_once_lose_no_commit_to_each_other(world: World) -> None:
    world.suite.freeze.freeze("copied")
    assert world.suite.freeze.thaw() == [GROUP]
    lost: list[LostRace] = []
    inner, start = world.control.inner, Barrier(len(USERS))

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

        def commit(self, *words: Any, **named: Any) -> object:  # noqa: ANN401 - those of the store
            try:
                return inner.commit(*words, **named)
            except LostRace as error:
                lost.append(error)
                raise

    world.control.inner = Counted()  # type: ignore[assignment]  # it has all that a store has

    def come_back(user: str) -> None:
        start.wait(DEADLINE_SECONDS)
        world.admins[user].device.catch_up()

    with ThreadPoolExecutor(len(USERS)) as pool:
        list(pool.map(come_back, USERS))
    members = world.document(f"mls_groups/{GROUP}/roster/members")["members"]
    assert {member["user"] for member in members} == {*USERS}
    assert len(lost) <= len(USERS) // 2  # without turns 12 to 22
