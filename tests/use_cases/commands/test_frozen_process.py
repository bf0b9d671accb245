"""A process that freezes between its read and its commit: a decision at an edge of time is lost, and decided again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.use_cases.commands.clients_and_answers import answer_of, reason_of, states
from tests.world import CLIENT, EACH_STORE, GROUP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.store import Snapshot, Store, Write

    from tests.world import World

MARGIN = timedelta(seconds=5 + 4 + 2)


class Freezing:
    """A store that freezes the process once, before a commit reaches it."""

    def __init__(self, world: World, inner: Store, seconds: float) -> None:
        self.get, self.query, self.longest_commit = inner.get, inner.query, inner.longest_commit
        self._world, self._inner, self._seconds = world, inner, seconds

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        self._world.clock.advance(seconds=self._seconds)
        self._seconds = 0
        return self._inner.commit(writes, basis=basis)


def freeze(world: World, seconds: float) -> None:
    world.control.inner = Freezing(world, world.control.inner, seconds)


def wait_for_the_margin(world: World, before: timedelta) -> None:
    """Move the clock to so long before the margin of the version in grace."""
    client = world.document(f"oauth2_clients/{CLIENT}")
    previous = world.document(f"oauth2_clients/{CLIENT}/secrets/{client['previous_version']}")
    world.clock.now = previous["not_after"] - MARGIN - before


@EACH_STORE
@pytest.mark.parametrize("action", ["rollback", "restore"])
def test_a_decision_before_the_margin_is_lost_when_its_commit_comes_too_late(rotated: World, action: str) -> None:
    if action == "restore":
        answer_of(rotated, rotated.admins["bob"].action("rollback"))
    before = states(rotated)
    wait_for_the_margin(rotated, timedelta(seconds=1))
    event = rotated.admins["bob"].action(action)
    freeze(rotated, 2.5)
    assert reason_of(rotated, event) == (409, "grace_nearly_over")
    assert states(rotated) == before


@EACH_STORE
def test_a_late_commit_far_from_every_edge_is_decided_again(rotated: World) -> None:
    event = rotated.admins["bob"].action("rollback")
    freeze(rotated, 60)
    answer_of(rotated, event)
    assert states(rotated) == ("current", "grace")


@EACH_STORE
def test_a_commit_within_the_longest_time_is_accepted(rotated: World) -> None:
    wait_for_the_margin(rotated, timedelta(seconds=1))
    event = rotated.admins["bob"].action("rollback")
    freeze(rotated, 2)
    rotated.control.calls.clear()
    answer_of(rotated, event)
    assert rotated.control.calls.count("commit") == 1
    assert states(rotated) == ("current", "grace")


@EACH_STORE
def test_an_acknowledgement_is_safe_however_late(issued: World) -> None:
    rotation_id = answer_of(issued, issued.admins["alice"].rotation())["rotation_id"]
    issued.pump()
    event = issued.admins["bob"].ack(rotation_id)
    freeze(issued, 60)
    issued.control.calls.clear()
    answer_of(issued, event)
    assert issued.control.calls.count("commit") == 1


def test_a_removal_just_before_a_promotion_reports_the_client_instead_of_canceling(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    world.join("carol")  # she received no live secret yet
    alice = world.admins["alice"]
    event = alice.rotation(grace_milliseconds=0, not_before=world.milliseconds(minutes=1))
    rotation_id = answer_of(world, event)["rotation_id"]
    world.pump()
    answer_of(world, world.admins["bob"].ack(rotation_id))
    world.clock.advance(seconds=55)
    assert reason_of(world, alice.action("cancel", {"rotation_id": rotation_id})) == (409, "promotion_imminent")
    removal = world.operator(f"/groups/{GROUP}/remove", {"user": "carol"}).json or {}
    assert (removal["canceled"], removal["received"]) == ([], [CLIENT])
