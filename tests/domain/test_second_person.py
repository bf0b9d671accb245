"""What cannot be undone needs a second person, where at least three may act (docs/protocol.md §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.domain.lifecycle import MOST_APPROVALS
from keyturn.domain.model import ClientStatus, CommandApproval, RetiredBecause

from tests.domain.scene import HOUR, TICK, Scene, staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.domain.lifecycle import Decision

    Act = Callable[[Scene, str], Decision]

THREE, TWO = ("ada", "bo", "cy"), ("ada", "bo")
# The act; and what it has come to when the scene, staged in grace, is through with it.
ACTS: dict[str, tuple[Act, Callable[[Scene], bool]]] = {
    "retire early": (lambda s, by: s.retire(1, by=by), lambda s: s.state.previous is None),
    "revoke by force": (
        lambda s, by: s.revoke(2, by=by, force=True),
        lambda s: s.version(2).retired_because is RetiredBecause.REVOKED,
    ),
    "revoke the client": (
        lambda s, by: s.revoke_client(by=by),
        lambda s: s.state.client.status is ClientStatus.REVOKED,
    ),
}
EVERY_ACT = pytest.mark.parametrize(("act", "done"), ACTS.values(), ids=ACTS)


@EVERY_ACT
def test_the_first_of_three_waits_for_a_second(act: Act, done: Callable[[Scene], bool]) -> None:
    scene = staged("grace", THREE)
    before = scene.state
    first = act(scene, "ada")
    assert first.awaits_second_person
    assert [item.action for item in first.transitions] == ["approve"]
    assert scene.state.versions == before.versions
    assert not done(scene)
    second = act(scene, "bo")
    assert not second.awaits_second_person
    assert done(scene)
    assert scene.state.client.approvals == ()


@EVERY_ACT
def test_two_people_need_no_second(act: Act, done: Callable[[Scene], bool]) -> None:
    scene = staged("grace", TWO)
    assert not act(scene, "ada").awaits_second_person
    assert done(scene)


@EVERY_ACT
def test_ones_own_second_approval_does_not_count(act: Act, done: Callable[[Scene], bool]) -> None:
    scene = staged("grace", THREE)
    act(scene, "ada")
    assert act(scene, "ada").awaits_second_person
    assert not done(scene)
    assert len(scene.state.client.approvals) == 1


@EVERY_ACT
def test_an_approval_lasts_an_hour(act: Act, done: Callable[[Scene], bool]) -> None:
    scene = staged("grace", THREE)
    act(scene, "ada")
    assert act(scene.wait(HOUR), "bo").awaits_second_person
    assert not done(scene)
    assert [item.user for item in scene.state.client.approvals] == ["bo"]
    assert not act(scene.wait(HOUR - TICK), "cy").awaits_second_person
    assert done(scene)


@EVERY_ACT
def test_an_approver_who_left_does_not_count(act: Act, done: Callable[[Scene], bool]) -> None:
    scene = staged("grace", ("ada", "bo", "cy", "di"))
    act(scene, "di")
    scene.people = THREE
    assert act(scene, "ada").awaits_second_person
    assert not done(scene)


def test_consent_to_one_act_is_none_to_another() -> None:
    scene = staged("grace", THREE)
    scene.retire(1, by="ada")
    assert scene.revoke(1, by="bo", force=True).awaits_second_person
    assert scene.revoke_client(by="bo").awaits_second_person
    assert scene.revoke(2, by="cy", force=True).awaits_second_person
    assert scene.state.client.status is ClientStatus.ACTIVE


def test_consent_to_other_acts_outlives_one_that_is_done() -> None:
    scene = staged("grace", THREE)
    scene.revoke_client(by="cy")
    scene.retire(1, by="ada")
    scene.retire(1, by="bo")
    assert [item.user for item in scene.state.client.approvals] == ["cy"]
    assert not scene.revoke_client(by="bo").awaits_second_person


def test_revoking_without_force_needs_no_second_person() -> None:
    scene = staged("grace", THREE)
    assert not scene.revoke(2).awaits_second_person


def test_waiting_writes_what_time_brought() -> None:
    scene = staged("grace", THREE)
    scene.wait(HOUR).request(3, supersede=True)
    scene.distribute(3)
    scene.acknowledge(3)
    decision = scene.wait(HOUR).revoke_client()
    assert [item.action for item in decision.transitions] == ["promote", "approve"]
    assert scene.state.client.current_version == scene.rotation(3).new_version


def test_a_client_keeps_the_latest_approvals_only() -> None:
    scene = staged("grace", THREE)
    earlier = [CommandApproval(f"act {number}", "cy", scene.now) for number in range(MOST_APPROVALS)]
    scene.state = scene.state.with_client(approvals=tuple(earlier))
    assert scene.retire(1, by="ada").awaits_second_person
    approvals = scene.state.client.approvals
    assert len(approvals) == MOST_APPROVALS
    assert approvals[:-1] == tuple(earlier[1:])
    assert not scene.retire(1, by="bo").awaits_second_person
