"""Settling late gives the same result as settling often (path independence)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.domain.lifecycle import due, next_due_at, settle
from keyturn.domain.model import RetiredBecause

from tests.domain.scene import DAY, GRACE, HOUR, LEAD, MINUTE, STAGES, TICK, Scene, staged, version_id

if TYPE_CHECKING:
    from keyturn.domain.audit_chain import Transition

EDGES = [timedelta(0), LEAD, 30 * MINUTE, HOUR, DAY, GRACE, GRACE + LEAD, 30 * DAY]
MOMENTS = st.builds(
    lambda edge, ticks: max(timedelta(0), edge + ticks * TICK), st.sampled_from(EDGES), st.integers(-2, 2)
) | st.timedeltas(timedelta(0), 40 * DAY)


def _superseding() -> Scene:
    """Grace ends while the rotation that supersedes it waits for its not_before."""
    scene = staged("grace")
    scene.wait(GRACE - HOUR).request(3, supersede=True, not_before=scene.now + HOUR)
    scene.distribute(3)
    scene.acknowledge(3)
    return scene


SCENES = {**{stage: staged(stage) for stage in STAGES}, "superseding": _superseding()}


@pytest.mark.parametrize("stage", SCENES)
@given(moments=st.lists(MOMENTS, min_size=1, max_size=4).map(sorted))
def test_settling_often_equals_settling_once(stage: str, moments: list[timedelta]) -> None:
    scene = SCENES[stage]
    once = settle(scene.state, scene.policy, scene.now + moments[-1])
    state = scene.state
    transitions: list[Transition] = []
    for moment in moments:
        decision = settle(state, scene.policy, scene.now + moment)
        state = decision.state
        transitions.extend(decision.transitions)
    assert state == once.state
    assert tuple(transitions) == once.transitions


@pytest.mark.parametrize("stage", SCENES)
def test_nothing_before_it_is_due_and_all_from_then_on(stage: str) -> None:
    scene = SCENES[stage]
    state = scene.state
    while item := due(state, scene.policy):
        early = settle(state, scene.policy, item.at - TICK)
        assert (early.state, early.transitions) == (state, ())
        on_time = settle(state, scene.policy, item.at)
        assert on_time.transitions
        assert next_due_at(state, scene.policy) is not None
        state = on_time.state
    assert next_due_at(state, scene.policy) is None
    assert settle(state, scene.policy, scene.now + 10_000 * DAY).transitions == ()


def test_retiring_comes_before_promoting_at_the_same_instant() -> None:
    scene = _superseding()
    scene.wait(HOUR)
    assert scene.version(1).not_after == scene.rotation(3).not_before == scene.now
    assert [item.action for item in scene.settle().transitions] == ["retire", "promote"]
    assert scene.version(1).retired_because is RetiredBecause.GRACE_ELAPSED
    assert scene.state.client.previous_version == version_id(2)


def test_a_promotion_found_late_counts_from_when_it_was_due() -> None:
    scene = staged("acknowledged")
    due_at = scene.now + LEAD
    scene.wait(LEAD + GRACE + DAY)
    assert [item.action for item in scene.settle().transitions] == ["promote", "retire"]
    assert scene.rotation(2).completed_at == scene.state.client.last_promoted_at == due_at
    assert scene.version(1).not_after == due_at + GRACE
