"""Going back, ending early, and stopping: rollback, restore, retire, revoke, suspend, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Conflict
from keyturn.domain.invariants import breaches
from keyturn.domain.model import ClientStatus, Outcome, RetiredBecause, VersionState

from tests.domain.scene import DAY, GRACE, HOUR, MARGIN, TICK, Scene, staged, version_id

if TYPE_CHECKING:
    from datetime import timedelta

TWO = ("ada", "bo")


def _pointers(scene: Scene) -> tuple[str | None, str | None]:
    return scene.state.client.current_version, scene.state.client.previous_version


def test_rollback_swaps_under_the_same_end() -> None:
    scene = staged("grace")
    end = scene.now + GRACE
    decision = scene.wait(DAY).rollback()
    assert [item.action for item in decision.transitions] == ["rollback"]
    assert _pointers(scene) == (version_id(1), version_id(2))
    assert (scene.version(1).state, scene.version(1).not_after) == (VersionState.CURRENT, None)
    assert (scene.version(2).state, scene.version(2).not_after) == (VersionState.GRACE, end)
    assert scene.rotation(2).outcome is Outcome.ROLLED_BACK


def test_rollback_of_what_is_compromised() -> None:
    scene = staged("grace")
    scene.rollback(compromised=True)
    assert _pointers(scene) == (version_id(1), None)
    assert (scene.version(2).state, scene.version(2).retired_because) == (
        VersionState.RETIRED,
        RetiredBecause.COMPROMISED,
    )
    scene.wait(GRACE + DAY)
    assert scene.settle().transitions == ()
    assert _pointers(scene) == (version_id(1), None)


def test_restore_swaps_back_under_the_same_end() -> None:
    scene = staged("rolled back")
    end = scene.version(2).not_after
    scene.wait(DAY).restore()
    assert _pointers(scene) == (version_id(2), version_id(1))
    assert (scene.version(2).not_after, scene.version(1).not_after) == (None, end)
    assert scene.rotation(2).outcome is Outcome.PROMOTED


def test_to_and_fro() -> None:
    scene = staged("rolled back")
    end = scene.version(2).not_after
    for _ in range(3):
        scene.restore()
        scene.rollback()
    assert _pointers(scene) == (version_id(1), version_id(2))
    assert scene.version(2).not_after == end
    assert list(breaches(scene.state)) == []


def test_going_back_up_to_the_margin() -> None:
    scene = staged("grace")
    scene.wait(GRACE - MARGIN - 3 * TICK).rollback()
    scene.wait(TICK).restore()
    scene.wait(TICK).rollback()
    with pytest.raises(Conflict) as caught:
        scene.wait(TICK).restore()
    assert caught.value.reason == "grace_nearly_over"


def test_what_was_rolled_back_retires_when_grace_is_over() -> None:
    scene = staged("rolled back")
    scene.wait(GRACE).settle()
    assert _pointers(scene) == (version_id(1), None)
    assert scene.version(2).retired_because is RetiredBecause.GRACE_ELAPSED


def test_after_a_rollback_the_next_rotation_can_be_rolled_back_again() -> None:
    scene = staged("rolled back")
    scene.wait(HOUR).bring(3, supersede=True)
    assert _pointers(scene) == (version_id(3), version_id(1))
    assert scene.version(2).retired_because is RetiredBecause.SUPERSEDED
    scene.rollback()
    assert _pointers(scene) == (version_id(1), version_id(3))
    assert scene.rotation(2).outcome is Outcome.ROLLED_BACK
    assert scene.rotation(3).outcome is Outcome.ROLLED_BACK


# --- retire -----------------------------------------------------------------------------------------------------------


def test_grace_ends_to_the_tick() -> None:
    scene = staged("grace")
    scene.wait(GRACE - TICK)
    assert scene.settle().transitions == ()
    scene.wait(TICK)
    assert [item.action for item in scene.settle().transitions] == ["retire"]
    assert (scene.version(1).state, scene.version(1).retired_because) == (
        VersionState.RETIRED,
        RetiredBecause.GRACE_ELAPSED,
    )
    assert _pointers(scene) == (version_id(2), None)


def test_retire_early() -> None:
    scene = staged("grace", TWO)
    decision = scene.retire(1)
    assert [(item.action, item.actor) for item in decision.transitions] == [("retire", "ada")]
    assert _pointers(scene) == (version_id(2), None)
    # Any retirement but grace_elapsed kills the version's tokens (docs/protocol.md §4): an early end must.
    assert scene.version(1).retired_because is RetiredBecause.SUPERSEDED


# --- revoke -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["requested", "distributed", "acknowledged"])
def test_revoking_pending_cancels(stage: str) -> None:
    scene = staged(stage)
    decision = scene.revoke(2)
    assert [item.action for item in decision.transitions] == ["cancel"]
    assert scene.rotation(2).outcome is Outcome.CANCELED
    assert _pointers(scene) == (version_id(1), None)


def test_revoking_grace() -> None:
    scene = staged("grace")
    decision = scene.revoke(1)
    assert [item.action for item in decision.transitions] == ["revoke"]
    assert _pointers(scene) == (version_id(2), None)
    assert scene.version(1).retired_because is RetiredBecause.REVOKED


def test_revoking_grace_leaves_the_open_rotation() -> None:
    scene = staged("grace")
    scene.wait(HOUR).request(3, supersede=True)
    scene.revoke(1)
    assert scene.state.client.active_rotation == scene.rotation(3).rotation_id


def test_revoking_current_with_an_heir() -> None:
    scene = staged("grace")
    scene.wait(HOUR).request(3, supersede=True)
    decision = scene.revoke(2)
    assert [item.action for item in decision.transitions] == ["cancel", "revoke"]
    assert _pointers(scene) == (version_id(1), None)
    assert (scene.version(1).state, scene.version(1).not_after) == (VersionState.CURRENT, None)
    assert scene.version(2).retired_because is RetiredBecause.REVOKED
    assert scene.state.client.status is ClientStatus.ACTIVE
    assert scene.rotation(3).outcome is Outcome.CANCELED


def test_revoking_current_a_tick_before_the_margin_of_the_heir() -> None:
    scene = staged("grace")
    scene.wait(GRACE - MARGIN - TICK).revoke(2)
    scene.wait(DAY)
    assert scene.settle().transitions == ()
    assert _pointers(scene) == (version_id(1), None)


@pytest.mark.parametrize("before_end", [MARGIN, TICK])
def test_an_heir_that_is_about_to_end_is_no_heir(before_end: timedelta) -> None:
    scene = staged("grace", people=("ada",))
    scene.wait(GRACE - before_end)
    with pytest.raises(Conflict) as refusal:
        scene.revoke(2)
    assert refusal.value.reason == "grace_nearly_over"
    scene.revoke(2, force=True)
    assert _pointers(scene) == (None, None)
    assert scene.version(1).retired_because is RetiredBecause.SUPERSEDED
    assert scene.state.client.status is ClientStatus.SUSPENDED


def test_revoking_current_of_a_suspended_client_keeps_it_suspended() -> None:
    scene = staged("grace")
    scene.suspend()
    scene.revoke(2)
    assert scene.state.client.status is ClientStatus.SUSPENDED
    scene.resume()
    assert _pointers(scene) == (version_id(1), None)


def test_revoking_what_a_rollback_brought_back() -> None:
    scene = staged("rolled back")
    scene.revoke(1)
    assert _pointers(scene) == (version_id(2), None)
    scene.wait(HOUR).bring(3)
    assert _pointers(scene) == (version_id(3), version_id(2))
    assert list(breaches(scene.state)) == []


def test_revoking_the_last_by_force_suspends() -> None:
    scene = staged("distributed", TWO)
    decision = scene.revoke(1, force=True)
    assert [item.action for item in decision.transitions] == ["cancel", "revoke"]
    assert _pointers(scene) == (None, None)
    assert scene.state.client.status is ClientStatus.SUSPENDED
    assert scene.version(1).retired_because is RetiredBecause.REVOKED


def test_revoking_a_client_is_final() -> None:
    scene = staged("grace", TWO)
    scene.wait(HOUR).request(3, supersede=True)
    decision = scene.revoke_client()
    assert [item.action for item in decision.transitions] == ["cancel", "revoke_client"]
    assert scene.state.client.status is ClientStatus.REVOKED
    assert {version.state for version in scene.state.versions.values()} == {VersionState.RETIRED}
    assert {scene.version(number).retired_because for number in (1, 2)} == {RetiredBecause.REVOKED}
    assert scene.rotation(3).outcome is Outcome.CANCELED
    scene.wait(90 * DAY)
    assert scene.settle().transitions == ()


# --- suspend and resume -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["requested", "distributed", "acknowledged"])
def test_suspending_cancels_what_is_open(stage: str) -> None:
    scene = staged(stage)
    decision = scene.suspend()
    assert [item.action for item in decision.transitions] == ["cancel", "suspend"]
    assert scene.rotation(2).outcome is Outcome.CANCELED
    assert scene.state.client.status is ClientStatus.SUSPENDED
    assert _pointers(scene) == (version_id(1), None)


def test_a_client_without_a_version_may_be_suspended() -> None:
    scene = staged("new")
    scene.suspend()
    with pytest.raises(Conflict) as caught:
        scene.resume()
    assert caught.value.reason == "no_live_version"


def test_resume() -> None:
    scene = staged("suspended")
    decision = scene.resume()
    assert [item.action for item in decision.transitions] == ["resume"]
    assert scene.state.client.status is ClientStatus.ACTIVE
    assert _pointers(scene) == (version_id(1), None)


def test_grace_goes_on_while_suspended() -> None:
    scene = staged("grace")
    scene.suspend()
    scene.wait(GRACE).resume()
    assert _pointers(scene) == (version_id(2), None)
    assert [item.action for item in scene.history[-2:]] == ["retire", "resume"]
