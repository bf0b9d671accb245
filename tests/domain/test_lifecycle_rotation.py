"""A rotation from its request to its promotion, and the ways in which it ends before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from keyturn.domain.errors import Conflict
from keyturn.domain.invariants import breaches
from keyturn.domain.lifecycle import next_due_at
from keyturn.domain.model import ClientStatus, Outcome, Phase, RetiredBecause, VersionState

from tests.domain.scene import (
    ADMINS,
    DAY,
    GRACE,
    HOUR,
    LEAD,
    MINUTE,
    SECOND,
    TICK,
    Scene,
    person,
    rotation_id,
    staged,
    version_id,
)


def test_a_request_takes_the_lock() -> None:
    scene = staged("current")
    asked_at = scene.now
    decision = scene.request(2, by="bo", reason="routine", digest="digest", grace=DAY)
    rotation, version = scene.rotation(2), scene.version(2)
    assert [item.action for item in decision.transitions] == ["request"]
    assert scene.state.client.active_rotation == rotation.rotation_id
    assert (rotation.phase, rotation.outcome) == (Phase.REQUESTED, None)
    assert (rotation.requested_by, rotation.reason, rotation.request_digest) == (person("bo"), "routine", "digest")
    assert (rotation.old_version, rotation.new_version) == (version_id(1), version_id(2))
    assert rotation.not_before == version.not_before == asked_at + LEAD
    assert rotation.grace_until == asked_at + LEAD + DAY
    assert (version.state, version.secret_hash, version.rotated_by) == (VersionState.PENDING, None, "bo")
    assert (version.rotation_id, version.rotation_reason) == (rotation_id(2), "routine")
    assert scene.state.client.current_version == version_id(1)


def test_a_transition_tells_what_was_and_what_is() -> None:
    scene = staged("current")
    (transition,) = scene.request(2, by="bo", reason="routine").transitions
    assert (transition.actor, transition.reason) == ("bo", "routine")
    assert transition.ids == {
        "client_id": "ext",
        "rotation_id": rotation_id(2),
        "version_id": version_id(2),
        "npub": person("bo").npub,
    }
    assert transition.before == {"status": "active", "current": version_id(1)}
    assert transition.after == {**transition.before, "pending": version_id(2), "phase": "requested"}


def test_the_service_distributes() -> None:
    (transition,) = staged("requested").distribute(2).transitions
    assert (transition.actor, transition.ids["npub"]) == ("distribute", "")
    assert transition.after["phase"] == "distributed"


def test_not_before_absent_is_measured_from_now_given_from_the_event() -> None:
    late = staged("current")
    sent_at = late.now - 2 * MINUTE
    late.request(2, measured_from=sent_at)
    assert late.rotation(2).not_before == late.now + LEAD
    given = staged("current")
    given.request(2, measured_from=sent_at, not_before=sent_at + LEAD)
    assert given.rotation(2).not_before == given.now + 8 * MINUTE


def test_grace_absent_is_the_policys() -> None:
    scene = staged("current", grace_seconds=77)
    scene.request(2)
    assert scene.rotation(2).grace == 77 * SECOND


def test_grace_of_exactly_30_days_and_lead_of_exactly_90() -> None:
    scene = staged("current")
    scene.request(2, grace=30 * DAY, not_before=scene.now + 90 * DAY)
    assert scene.rotation(2).grace_until == scene.now + 120 * DAY


def test_distribution_stores_what_was_sent() -> None:
    scene = staged("requested")
    decision = scene.wait(30 * MINUTE - TICK).distribute(2)
    rotation, version = scene.rotation(2), scene.version(2)
    assert [item.action for item in decision.transitions] == ["distribute"]
    assert (version.secret_hash, version.mac_key_ref, version.receipt_key) == ("hash-2", "key-1", "receipt-key-2")
    assert (rotation.phase, rotation.distributed_at) == (Phase.DISTRIBUTED, scene.now)
    assert [item.user for item in rotation.recipients] == list(ADMINS)
    assert rotation.distribution_message_id == "message-2"
    assert rotation.ack_deadline == scene.now + 30 * MINUTE
    assert version.state is VersionState.PENDING


@pytest.mark.parametrize(
    ("lead", "deadline"), [(30 * MINUTE, 30 * MINUTE), (30 * MINUTE + TICK, 72 * HOUR), (10 * DAY, 72 * HOUR)]
)
def test_a_scheduled_rotation_has_longer_to_acknowledge(lead: timedelta, deadline: timedelta) -> None:
    scene = staged("current")
    scene.request(2, not_before=scene.now + lead)
    scene.distribute(2)
    assert scene.rotation(2).ack_deadline == scene.now + deadline


def test_the_ack_that_makes_the_quorum() -> None:
    scene = staged("current", quorum=2)
    scene.request(2, by="ada")
    scene.distribute(2)
    scene.acknowledge(2, by="ada")
    scene.acknowledge(2, by="bo")
    assert scene.rotation(2).phase is Phase.DISTRIBUTED, "the requester's own ack does not count"
    scene.wait(MINUTE).acknowledge(2, by="cy")
    assert (scene.rotation(2).phase, scene.rotation(2).acknowledged_at) == (Phase.ACKNOWLEDGED, scene.now)
    assert scene.rotation(2).count_acks() == 2
    scene.wait(MINUTE).acknowledge(2, by="di")
    assert scene.rotation(2).acknowledged_at == scene.now - MINUTE
    assert [ack.user for ack in scene.rotation(2).acks] == ["ada", "bo", "cy", "di"]


def test_a_quorum_of_one_counts_the_requester() -> None:
    scene = staged("distributed")
    scene.acknowledge(2, by="ada")
    assert scene.rotation(2).phase is Phase.ACKNOWLEDGED


def test_the_quorum_is_that_of_the_request() -> None:
    scene = staged("requested")
    scene.policy = scene.policy.overridden({"quorum": 3})
    scene.distribute(2)
    scene.acknowledge(2)
    assert scene.rotation(2).phase is Phase.ACKNOWLEDGED


def test_receipts_may_be_left_out_where_policy_says_so() -> None:
    scene = staged("distributed", require_receipts=False)
    scene.acknowledge(2, receipt=None, receipt_key=None)
    assert scene.rotation(2).acks[0].receipt is None


def test_a_bad_receipt_is_refused_where_none_is_needed() -> None:
    scene = staged("distributed", require_receipts=False)
    with pytest.raises(Exception, match="does not prove") as caught:
        scene.acknowledge(2, receipt_key=None)
    assert getattr(caught.value, "reason", "") == "bad_receipt"


def test_promotion_in_the_commit_of_the_last_ack() -> None:
    scene = staged("distributed")
    decision = scene.wait(LEAD).acknowledge(2)
    assert [item.action for item in decision.transitions] == ["acknowledge", "promote"]
    assert [item.actor for item in decision.transitions] == ["ada", "time"]
    assert scene.state.client.current_version == version_id(2)


def test_promotion_at_not_before() -> None:
    scene = staged("acknowledged")
    scene.wait(LEAD - TICK)
    assert scene.settle().transitions == ()
    scene.wait(TICK).settle()
    client = scene.state.client
    assert (client.current_version, client.previous_version) == (version_id(2), version_id(1))
    assert (client.active_rotation, client.last_rotation) == (None, rotation_id(2))
    assert client.last_promoted_at == scene.now
    assert (scene.version(2).state, scene.version(2).not_after) == (VersionState.CURRENT, None)
    assert (scene.version(1).state, scene.version(1).not_after) == (VersionState.GRACE, scene.now + GRACE)
    assert (scene.rotation(2).phase, scene.rotation(2).outcome) == (Phase.COMPLETED, Outcome.PROMOTED)
    assert scene.rotation(2).completed_at == scene.now


def test_late_acks_lengthen_grace() -> None:
    scene = staged("distributed")
    scene.wait(20 * MINUTE).acknowledge(2)
    assert scene.version(1).not_after == scene.now + GRACE
    assert scene.rotation(2).grace_until == scene.now + GRACE - LEAD, "in a notice: not earlier than"


def test_grace_of_nothing_retires_at_once() -> None:
    scene = staged("current")
    scene.bring(2, grace=timedelta(0))
    assert scene.state.client.previous_version is None
    assert (scene.version(1).state, scene.version(1).retired_because) == (
        VersionState.RETIRED,
        RetiredBecause.SUPERSEDED,
    )


def test_supersede_retires_the_older_at_promotion() -> None:
    scene = staged("grace")
    scene.wait(HOUR).request(3, supersede=True)
    assert scene.version(1).state is VersionState.GRACE, "not before the new one is there"
    scene.distribute(3)
    scene.acknowledge(3)
    scene.wait(LEAD).settle()
    assert (scene.version(1).state, scene.version(1).retired_because) == (
        VersionState.RETIRED,
        RetiredBecause.SUPERSEDED,
    )
    assert (scene.state.client.current_version, scene.state.client.previous_version) == (version_id(3), version_id(2))


def test_a_first_issue_starts_at_once_and_no_interval() -> None:
    scene = staged("new")
    scene.request(1)
    assert scene.rotation(1).not_before == scene.now
    assert scene.rotation(1).old_version is None
    scene.distribute(1)
    scene.acknowledge(1)
    assert scene.state.client.current_version == version_id(1)
    assert (scene.state.client.previous_version, scene.state.client.last_promoted_at) == (None, None)
    scene.request(2)
    assert scene.rotation(2).not_before == scene.now + LEAD


def test_the_interval_ends_to_the_tick() -> None:
    absent = staged("grace")
    absent.wait(HOUR - LEAD).request(3, supersede=True)
    given = staged("grace")
    given.request(3, supersede=True, not_before=given.now + HOUR)
    assert absent.rotation(3).not_before == given.rotation(3).not_before


# --- ending before promotion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["requested", "distributed", "acknowledged"])
def test_cancel(stage: str) -> None:
    scene = staged(stage)
    decision = scene.wait(MINUTE).cancel(2, by="di")
    assert [(item.action, item.actor) for item in decision.transitions] == [("cancel", "di")]
    assert scene.state.client.active_rotation is None
    assert (scene.rotation(2).phase, scene.rotation(2).outcome) == (Phase.COMPLETED, Outcome.CANCELED)
    assert scene.rotation(2).completed_at == scene.now
    assert (scene.version(2).state, scene.version(2).retired_because) == (VersionState.RETIRED, RetiredBecause.CANCELED)
    assert scene.state.client.current_version == version_id(1)
    assert scene.state.client.last_rotation == rotation_id(1)


@pytest.mark.parametrize("stage", ["requested", "distributed"])
def test_expire(stage: str) -> None:
    scene = staged(stage)
    deadline = scene.now + 30 * MINUTE
    scene.now = deadline - TICK
    assert scene.settle().transitions == ()
    scene.now = deadline + HOUR
    assert [item.action for item in scene.settle().transitions] == ["expire"]
    assert (scene.rotation(2).outcome, scene.rotation(2).completed_at) == (Outcome.EXPIRED, deadline)
    assert (scene.version(2).state, scene.version(2).retired_because) == (VersionState.RETIRED, RetiredBecause.EXPIRED)
    assert scene.state.client.active_rotation is None


def test_acknowledged_but_unpromotable_expires_after_a_day() -> None:
    scene = staged("acknowledged")
    # Suspending cancels an open rotation, so no command leads to this state. The rule is tested on its own.
    scene.state = scene.state.with_client(status=ClientStatus.SUSPENDED)
    scene.wait(LEAD + DAY - TICK)
    assert scene.settle().transitions == ()
    scene.wait(TICK)
    assert [item.action for item in scene.settle().transitions] == ["expire"]
    assert scene.rotation(2).outcome is Outcome.EXPIRED


def test_the_next_request_after_one_that_ended() -> None:
    scene = staged("requested")
    scene.wait(30 * MINUTE)
    decision = scene.request(3)
    assert [item.action for item in decision.transitions] == ["expire", "request"]
    assert scene.state.client.active_rotation == rotation_id(3)


# --- emergency --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["requested", "distributed", "acknowledged"])
def test_an_emergency_cancels_what_is_open_in_its_own_commit(stage: str) -> None:
    scene = staged(stage)
    decision = scene.emergency(3)
    assert [item.action for item in decision.transitions] == ["cancel", "emergency"]
    assert scene.rotation(2).outcome is Outcome.CANCELED
    assert scene.version(2).retired_because is RetiredBecause.CANCELED
    assert scene.state.client.active_rotation == rotation_id(3)
    assert scene.rotation(3).emergency
    assert list(breaches(scene.state)) == []


def test_an_emergency_ignores_interval_and_grace_and_needs_no_lead() -> None:
    scene = staged("grace")
    scene.emergency(3, grace=timedelta(0), not_before=scene.now)
    scene.distribute(3)
    scene.acknowledge(3, by="bo")
    scene.acknowledge(3, by="cy")
    assert [version.version_id for version in scene.state.live] == [version_id(3)]
    assert {scene.version(number).retired_because for number in (1, 2)} == {RetiredBecause.SUPERSEDED}


@pytest.mark.parametrize(
    ("people", "quorum", "own", "expected"),
    [
        (("ada",), 1, 0, 1),
        (("ada", "bo"), 1, 0, 1),
        (("ada", "bo", "cy"), 1, 0, 2),
        (("ada", "bo", "cy", "di"), 1, 0, 2),
        (("ada", "bo", "cy", "di"), 3, 0, 3),
        (("ada", "bo", "cy", "di"), 5, 0, 3),
        (("ada", "bo", "cy", "di"), 3, 1, 1),
    ],
)
def test_the_emergency_quorum(people: tuple[str, ...], quorum: int, own: int, expected: int) -> None:
    scene = staged("current", people, quorum=quorum, emergency_quorum=own)
    scene.emergency(2)
    assert scene.rotation(2).quorum == expected


def _issued_by_emergency(scene: Scene, number: int) -> None:
    scene.emergency(number, by="ada")
    scene.distribute(number)
    scene.acknowledge(number, by="bo")
    scene.acknowledge(number, by="cy")


def test_an_emergency_resumes_a_suspended_client_when_it_is_promoted() -> None:
    scene = staged("suspended")
    scene.emergency(2, by="ada")
    scene.distribute(2)
    scene.acknowledge(2, by="bo")
    before = scene.state.client.status
    scene.acknowledge(2, by="cy")
    assert (before, scene.state.client.status) == (ClientStatus.SUSPENDED, ClientStatus.ACTIVE)
    assert scene.state.client.current_version == version_id(2)


def test_an_emergency_after_the_last_version_was_revoked_starts_an_interval() -> None:
    scene = staged("emptied")
    _issued_by_emergency(scene, 2)
    assert scene.state.client.status is ClientStatus.ACTIVE
    assert scene.state.client.last_promoted_at == scene.now
    with pytest.raises(Exception, match="too recent"):
        scene.request(3)


def test_a_second_emergency_cancels_the_first() -> None:
    scene = staged("suspended")
    scene.emergency(2)
    scene.emergency(3)
    assert scene.rotation(2).outcome is Outcome.CANCELED
    assert scene.state.client.active_rotation == rotation_id(3)


def test_resuming_leaves_an_emergency_open() -> None:
    scene = staged("suspended")
    scene.emergency(2)
    scene.resume()
    assert scene.state.client.active_rotation == rotation_id(2)


def test_what_is_due_comes_before_the_emergency() -> None:
    scene = staged("acknowledged")
    decision = scene.wait(LEAD).emergency(3)
    assert [item.action for item in decision.transitions] == ["promote", "emergency"]
    assert scene.rotation(3).old_version == version_id(2)


def test_an_open_rotation_is_looked_at_again_until_it_is_sent() -> None:
    scene = staged("requested")
    assert next_due_at(scene.state, scene.policy) == scene.now + MINUTE
    scene.distribute(2)
    assert next_due_at(scene.state, scene.policy) == scene.now + 30 * MINUTE


def test_two_clients_of_one_lock() -> None:
    scene = staged("requested")
    with pytest.raises(Conflict):
        scene.request(3, by="bo")
    assert scene.state.client.active_rotation == rotation_id(2)
