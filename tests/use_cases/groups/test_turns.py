"""Turns: first come, first served, one at a time, and nobody waits for ever."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.ports.effects import wait
from keyturn.ports.store import LostRace
from keyturn.use_cases.groups.turns import WAIT_SECONDS, Turns

from tests.local.waiting import until
from tests.world import EACH_STORE, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.ports.store import Store

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
            until(lambda: len(turns._queues["ops"]) > number)  # noqa: B023 - called now
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


class Counted:
    """A store that counts the races that were lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lost = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, *words: Any, **named: Any) -> object:  # noqa: ANN401 - those of the store
        try:
            return self._store.commit(*words, **named)
        except LostRace:
            self.lost += 1
            raise


def lost_at_once(world: World, act: Callable[[str], object]) -> int:
    """Let each user act at the same time. Return how many races for a commit were lost."""
    counted, start = Counted(world.control.inner), Barrier(len(USERS))
    world.control.inner = cast("Store", counted)

    def act_at_once(user: str) -> None:
        start.wait(DEADLINE_SECONDS)
        act(user)

    with ThreadPoolExecutor(len(USERS)) as pool:
        list(pool.map(act_at_once, USERS))
    members = world.document(f"mls_groups/{GROUP}/roster/members")["members"]
    assert {member["user"] for member in members} >= {*USERS}
    return counted.lost


@pytest.mark.world(*USERS)
@EACH_STORE
def test_devices_that_come_back_at_once_lose_no_commit_to_each_other(world: World) -> None:
    world.suite.freeze.freeze("copied")
    assert world.suite.freeze.thaw() == [GROUP]
    lost = lost_at_once(world, lambda user: world.admins[user].device.catch_up())
    assert lost <= len(USERS) // 2  # without turns 12 to 22


@pytest.mark.world("alice")
@EACH_STORE
def test_devices_that_join_at_once_lose_no_commit_to_each_other(world: World) -> None:
    joining = {user: (world.new_admin(user), world.invite(user)) for user in USERS}

    def join(user: str) -> None:
        admin, code = joining[user]
        admin.device.join(code)

    assert lost_at_once(world, join) <= len(USERS) // 2
