"""Evidence without an admin: canaries before a promotion, and an early retirement of an unused version."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from keyturn.domain.errors import Conflict, PolicyViolation
from keyturn.domain.invariants import breaches
from keyturn.domain.lifecycle import due, next_due_at, settle
from keyturn.domain.model import Outcome, Phase, RetiredBecause, VersionState

from tests.domain.scene import DAY, HOUR, LEAD, MINUTE, TICK, Scene, staged, version_id


def awaiting(canaries: int = 2) -> Scene:
    """Return a scene with version 1 current and rotation 2 acknowledged, with a policy that requires canaries."""
    scene = staged("current", canaries=canaries)
    scene.request(2)
    scene.distribute(2)
    scene.acknowledge(2)
    return scene


def test_no_version_is_promoted_before_its_canaries() -> None:
    scene = awaiting().wait(LEAD)
    assert scene.settle().transitions == ()
    scene.count_canaries(2, 1)
    assert (scene.rotation(2).phase, scene.rotation(2).canaries) == (Phase.ACKNOWLEDGED, 1)

    decision = scene.count_canaries(2, 2)

    assert [item.action for item in decision.transitions] == ["count_canaries", "promote"]
    assert decision.transitions[0].actor == "canaries"
    assert scene.state.client.current_version == version_id(2)
    assert scene.rotation(2).completed_at == scene.now


def test_canaries_that_came_early_promote_at_not_before() -> None:
    scene = awaiting()
    scene.count_canaries(2, 5)
    promoted = scene.wait(DAY).settle()
    assert [item.action for item in promoted.transitions] == ["promote"]
    assert scene.rotation(2).completed_at == scene.rotation(2).not_before


def test_canaries_before_the_quorum_count_as_well() -> None:
    scene = staged("current", canaries=1)
    scene.request(2)
    scene.distribute(2)
    scene.count_canaries(2, 1)
    scene.wait(LEAD)
    assert [item.action for item in scene.acknowledge(2).transitions] == ["acknowledge", "promote"]


def test_without_its_canaries_a_rotation_expires_at_the_promote_deadline_and_the_old_version_stays() -> None:
    scene = awaiting()
    scene.count_canaries(2, 1)
    late = scene.rotation(2).not_before + timedelta(seconds=scene.policy.promote_deadline_seconds)
    scene.now = late - TICK
    assert scene.settle().transitions == ()
    scene.now = late
    scene.settle()
    assert (scene.rotation(2).outcome, scene.state.client.current_version) == (Outcome.EXPIRED, version_id(1))
    with pytest.raises(Conflict, match="no longer open"):
        scene.count_canaries(2, 2)


def test_the_sweeper_looks_while_canaries_are_awaited_and_no_longer() -> None:
    scene = awaiting()
    assert next_due_at(scene.state, scene.policy) == scene.rotation(2).distributed_at
    scene.count_canaries(2, 2)
    item = due(scene.state, scene.policy)
    assert item is not None
    assert next_due_at(scene.state, scene.policy) == item.at == scene.rotation(2).not_before


def test_a_count_never_falls_and_none_comes_before_the_secret_is_out() -> None:
    scene = staged("requested", canaries=2)
    with pytest.raises(Conflict, match="not distributed"):
        scene.count_canaries(2, 1)
    scene = awaiting(3)
    scene.count_canaries(2, 2)
    for count in (0, 1, 2):
        with pytest.raises(Conflict, match="already counted"):
            scene.count_canaries(2, count)


def test_an_emergency_waits_for_no_canaries() -> None:
    scene = staged("current", canaries=3)
    scene.emergency(2)
    scene.distribute(2)
    for who in ("bo", "cy"):
        scene.acknowledge(2, by=who)
    assert (scene.rotation(2).canaries_required, scene.state.client.current_version) == (0, version_id(2))


def test_a_first_issue_waits_for_no_canaries() -> None:
    scene = staged("new", canaries=3)
    scene.bring(1)
    assert (scene.rotation(1).canaries_required, scene.state.client.current_version) == (0, version_id(1))


def test_a_policy_that_changes_meanwhile_changes_no_rotation() -> None:
    scene = awaiting(1)
    scene.policy = replace(scene.policy, canaries=0)
    assert settle(scene.state, scene.policy, scene.now + HOUR).transitions == ()


def test_promotion_without_canaries_is_a_breach() -> None:
    scene = awaiting(1)
    scene.count_canaries(2, 1)
    scene.wait(LEAD).settle()
    assert list(breaches(scene.state)) == []
    forged = scene.state.with_rotation(replace(scene.rotation(2), canaries=0))
    assert list(breaches(forged)) == ["a rotation was promoted without its canaries"]


def test_a_silent_version_is_retired_by_policy_and_audited() -> None:
    scene = staged("grace", retire_early=True)
    (entry,) = scene.retire_silent(1).transitions
    assert (entry.action, entry.actor, entry.reason) == ("retire", "policy", "silent")
    assert (scene.version(1).state, scene.version(1).retired_because) == (
        VersionState.RETIRED,
        RetiredBecause.SUPERSEDED,
    )
    assert scene.state.client.previous_version is None


@pytest.mark.parametrize("silent_for", [timedelta(0), DAY - TICK])
def test_too_short_a_silence_retires_nothing(silent_for: timedelta) -> None:
    scene = staged("grace", retire_early=True)
    with pytest.raises(Conflict, match="unused"):
        scene.retire_silent(1, silent_for=silent_for)


def test_a_silence_that_is_not_shown_retires_nothing() -> None:
    scene = staged("grace", retire_early=True)
    with pytest.raises(Conflict, match="unused"):
        scene.retire_silent(1, silent_for=30 * DAY, needed=None)


def test_without_the_policy_silence_only_proposes() -> None:
    with pytest.raises(PolicyViolation, match="only proposes"):
        staged("grace").retire_silent(1)


def test_policy_retires_neither_the_current_version_nor_what_a_rollback_left_nor_for_a_suspended_client() -> None:
    with pytest.raises(Conflict, match="not in grace"):
        staged("grace", retire_early=True).retire_silent(2)
    with pytest.raises(Conflict, match="rolled back"):
        staged("rolled back", retire_early=True).retire_silent(2)
    scene = staged("grace", retire_early=True)
    scene.suspend()
    with pytest.raises(Conflict, match="suspended"):
        scene.wait(MINUTE).retire_silent(1)
