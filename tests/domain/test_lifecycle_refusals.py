"""Every refusal of every command, and commands out of order: stage, command and the expected reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Conflict, Forbidden, PolicyViolation, RateLimited, Refusal
from keyturn.domain.model import ClientStatus

from tests.domain.scene import (
    DAY,
    GRACE,
    HOUR,
    LEAD,
    MARGIN,
    MINUTE,
    OTHER_GROUP,
    STAGES,
    TICK,
    Scene,
    person,
    rotation_id,
    staged,
    version_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Act = tuple[str, "Callable[[Scene], object]", type[Refusal], str]

REQUESTS: dict[str, Act] = {
    "not in a group of the client": ("current", lambda s: s.request(2, by="eve"), Forbidden, "not_authorised"),
    "in the name of a group not hers": (
        "current",
        lambda s: s.request(2, group=OTHER_GROUP),
        Forbidden,
        "not_in_group",
    ),
    "in the name of her group that is not the client's": (
        "current",
        lambda s: s.request(2, group=OTHER_GROUP, groups=frozenset({"ops", OTHER_GROUP})),
        Forbidden,
        "not_in_group",
    ),
    "suspended": ("suspended", lambda s: s.request(2), Conflict, "client_suspended"),
    "revoked": ("revoked", lambda s: s.request(2), Conflict, "client_revoked"),
    "rotation requested": ("requested", lambda s: s.request(3), Conflict, "rotation_active"),
    "rotation distributed": ("distributed", lambda s: s.request(3), Conflict, "rotation_active"),
    "rotation acknowledged": ("acknowledged", lambda s: s.request(3), Conflict, "rotation_active"),
    "its rotation_id again": (
        "requested",
        lambda s: s.request(2, version_id=version_id(3)),
        Conflict,
        "already_exists",
    ),
    "the last rotation_id again": (
        "current",
        lambda s: s.request(1, version_id=version_id(3)),
        Conflict,
        "already_exists",
    ),
    "a version_id again": ("current", lambda s: s.request(2, version_id=version_id(1)), Conflict, "already_exists"),
    "grace in progress": ("grace", lambda s: s.wait(2 * HOUR).request(3), Conflict, "grace_in_progress"),
    "grace after a rollback": ("rolled back", lambda s: s.wait(2 * HOUR).request(3), Conflict, "grace_in_progress"),
    "not_before a tick too early": (
        "current",
        lambda s: s.request(2, not_before=s.now + LEAD - TICK),
        PolicyViolation,
        "not_before_too_early",
    ),
    "not_before of a first issue before the event": (
        "new",
        lambda s: s.request(1, not_before=s.now - TICK),
        PolicyViolation,
        "not_before_too_early",
    ),
    "not_before too far ahead": (
        "current",
        lambda s: s.request(2, not_before=s.now + 90 * DAY + TICK),
        PolicyViolation,
        "not_before_too_late",
    ),
    "negative grace": ("current", lambda s: s.request(2, grace=-TICK), PolicyViolation, "grace_out_of_bounds"),
    "grace over 30 days": (
        "current",
        lambda s: s.request(2, grace=30 * DAY + TICK),
        PolicyViolation,
        "grace_out_of_bounds",
    ),
    "interval, not_before absent": (
        "grace",
        lambda s: s.wait(HOUR - LEAD - TICK).request(3, supersede=True),
        PolicyViolation,
        "interval_too_short",
    ),
    "interval, not_before given": (
        "grace",
        lambda s: s.request(3, supersede=True, not_before=s.now + HOUR - TICK),
        PolicyViolation,
        "interval_too_short",
    ),
    "nobody may acknowledge": (
        "current",
        lambda s: s.request(2, people=frozenset()),
        PolicyViolation,
        "quorum_unreachable",
    ),
    "the requester's own rate": (
        "current",
        lambda s: s.request(2, recent=(s.now,) * 60),
        RateLimited,
        "rate",
    ),
}

EMERGENCIES: dict[str, Act] = {
    "emergency, not authorised": ("current", lambda s: s.emergency(2, by="eve"), Forbidden, "not_authorised"),
    "emergency in another group's name": (
        "current",
        lambda s: s.emergency(2, group=OTHER_GROUP),
        Forbidden,
        "not_in_group",
    ),
    "emergency, revoked": ("revoked", lambda s: s.emergency(2), Conflict, "client_revoked"),
    "emergency with the active rotation_id": (
        "requested",
        lambda s: s.emergency(2, version_id=version_id(3)),
        Conflict,
        "already_exists",
    ),
    "emergency before its own event": (
        "current",
        lambda s: s.emergency(2, not_before=s.now - TICK),
        PolicyViolation,
        "not_before_too_early",
    ),
    "emergency, negative grace": (
        "current",
        lambda s: s.emergency(2, grace=-TICK),
        PolicyViolation,
        "grace_out_of_bounds",
    ),
    "emergency rates": ("current", lambda s: s.emergency(2, recent=(s.now,) * 60), RateLimited, "rate"),
}

ROTATION: dict[str, Act] = {
    "distribute without a rotation": ("current", lambda s: s.distribute(2), Conflict, "rotation_not_open"),
    "distribute another rotation": ("requested", lambda s: s.distribute(3), Conflict, "rotation_not_open"),
    "distribute twice": ("distributed", lambda s: s.distribute(2), Conflict, "already_distributed"),
    "distribute when acknowledged": ("acknowledged", lambda s: s.distribute(2), Conflict, "already_distributed"),
    "distribute when promoted": ("grace", lambda s: s.distribute(2), Conflict, "rotation_not_open"),
    "distribute at 30 minutes": (
        "requested",
        lambda s: s.wait(30 * MINUTE).distribute(2),
        Conflict,
        "rotation_not_open",
    ),
    "acknowledge before it was sent": ("requested", lambda s: s.acknowledge(2), Conflict, "not_distributed"),
    "acknowledge nothing": ("current", lambda s: s.acknowledge(2), Conflict, "rotation_not_open"),
    "acknowledge what was promoted": ("grace", lambda s: s.acknowledge(2, by="bo"), Conflict, "rotation_not_open"),
    "acknowledge, no recipient": ("distributed", lambda s: s.acknowledge(2, by="eve"), Forbidden, "not_a_recipient"),
    "acknowledge, another device": (
        "distributed",
        lambda s: s.acknowledge(2, actor=person("ada", "phone")),
        Forbidden,
        "not_a_recipient",
    ),
    "acknowledge with somebody's key": (
        "distributed",
        lambda s: s.acknowledge(2, actor=replace(person("ada"), user="bo")),
        Forbidden,
        "not_a_recipient",
    ),
    "acknowledge, removed meanwhile": (
        "distributed",
        lambda s: s.acknowledge(2, member=False),
        Forbidden,
        "no_longer_a_member",
    ),
    "acknowledge another version": (
        "distributed",
        lambda s: s.acknowledge(2, version_id=version_id(1)),
        Conflict,
        "ack_mismatch",
    ),
    "acknowledge another hash": (
        "distributed",
        lambda s: s.acknowledge(2, secret_hash="hash-1"),
        Conflict,
        "ack_mismatch",
    ),
    "acknowledge another key": (
        "distributed",
        lambda s: s.acknowledge(2, mac_key_ref="key-2"),
        Conflict,
        "ack_mismatch",
    ),
    "acknowledge without a receipt": (
        "distributed",
        lambda s: s.acknowledge(2, receipt=None, receipt_key=None),
        Forbidden,
        "bad_receipt",
    ),
    "acknowledge with a key but no receipt": (
        "distributed",
        lambda s: s.acknowledge(2, receipt=None),
        Forbidden,
        "bad_receipt",
    ),
    "acknowledge with a bad receipt": (
        "distributed",
        lambda s: s.acknowledge(2, receipt_key=None),
        Forbidden,
        "bad_receipt",
    ),
    "acknowledge with another secret's receipt": (
        "distributed",
        lambda s: s.acknowledge(2, receipt_key="receipt-key-1"),
        Forbidden,
        "bad_receipt",
    ),
    "acknowledge twice": ("acknowledged", lambda s: s.acknowledge(2), Conflict, "already_acknowledged"),
    "acknowledge at the deadline": (
        "distributed",
        lambda s: s.wait(30 * MINUTE).acknowledge(2),
        Conflict,
        "rotation_not_open",
    ),
    "cancel, not authorised": ("requested", lambda s: s.cancel(2, by="eve"), Forbidden, "not_authorised"),
    "cancel nothing": ("current", lambda s: s.cancel(2), Conflict, "rotation_not_open"),
    "cancel another rotation": ("requested", lambda s: s.cancel(3), Conflict, "rotation_not_open"),
    "cancel at not_before": ("acknowledged", lambda s: s.wait(LEAD).cancel(2), Conflict, "rotation_not_open"),
    "cancel what was promoted": ("grace", lambda s: s.cancel(2), Conflict, "rotation_not_open"),
}

GOING_BACK: dict[str, Act] = {
    "rollback, not authorised": ("grace", lambda s: s.rollback(by="eve"), Forbidden, "not_authorised"),
    "rollback, nothing in grace": ("current", lambda s: s.rollback(), Conflict, "nothing_in_grace"),
    "rollback, never issued": ("new", lambda s: s.rollback(), Conflict, "nothing_in_grace"),
    "rollback twice": ("rolled back", lambda s: s.rollback(), Conflict, "already_rolled_back"),
    "rollback, suspended": ("suspended", lambda s: s.rollback(), Conflict, "client_suspended"),
    "rollback, revoked": ("revoked", lambda s: s.rollback(), Conflict, "client_revoked"),
    "rollback during a rotation": (
        "grace",
        lambda s: (s.wait(HOUR).request(3, supersede=True), s.rollback()),
        Conflict,
        "rotation_active",
    ),
    "rollback at the margin": ("grace", lambda s: s.wait(GRACE - MARGIN).rollback(), Conflict, "grace_nearly_over"),
    "rollback when grace is over": ("grace", lambda s: s.wait(GRACE).rollback(), Conflict, "nothing_in_grace"),
    "restore, not authorised": ("rolled back", lambda s: s.restore(by="eve"), Forbidden, "not_authorised"),
    "restore what was not rolled back": ("grace", lambda s: s.restore(), Conflict, "not_rolled_back"),
    "restore, never issued": ("new", lambda s: s.restore(), Conflict, "not_rolled_back"),
    "restore at the margin": ("rolled back", lambda s: s.wait(GRACE - MARGIN).restore(), Conflict, "grace_nearly_over"),
    "restore when grace is over": ("rolled back", lambda s: s.wait(GRACE).restore(), Conflict, "nothing_in_grace"),
    "restore what was compromised": (
        "grace",
        lambda s: (s.rollback(compromised=True), s.restore()),
        Conflict,
        "nothing_in_grace",
    ),
    "restore, suspended": ("rolled back", lambda s: (s.suspend(), s.restore()), Conflict, "client_suspended"),
    "restore, revoked": ("revoked", lambda s: s.restore(), Conflict, "client_revoked"),
    "restore during a rotation": (
        "rolled back",
        lambda s: (s.wait(HOUR).request(3, supersede=True), s.restore()),
        Conflict,
        "rotation_active",
    ),
}

ENDING: dict[str, Act] = {
    "retire, not authorised": ("grace", lambda s: s.retire(1, by="eve"), Forbidden, "not_authorised"),
    "retire the current": ("grace", lambda s: s.retire(2), Conflict, "not_in_grace"),
    "retire nothing": ("current", lambda s: s.retire(9), Conflict, "not_in_grace"),
    "retire when grace is over": ("grace", lambda s: s.wait(GRACE).retire(1), Conflict, "not_in_grace"),
    "retire, revoked": ("revoked", lambda s: s.retire(1), Conflict, "client_revoked"),
    "revoke, not authorised": ("grace", lambda s: s.revoke(1, by="eve"), Forbidden, "not_authorised"),
    "revoke an unknown version": ("grace", lambda s: s.revoke(9), Conflict, "version_not_live"),
    "revoke what is retired": ("grace", lambda s: s.wait(GRACE).revoke(1), Conflict, "version_not_live"),
    "revoke what never came": ("requested", lambda s: (s.cancel(2), s.revoke(2)), Conflict, "version_not_live"),
    "revoke the last live": ("current", lambda s: s.revoke(1), Conflict, "last_live_version"),
    "revoke the last live of a suspended": ("suspended", lambda s: s.revoke(1), Conflict, "last_live_version"),
    "revoke the last live beside a pending": ("distributed", lambda s: s.revoke(1), Conflict, "last_live_version"),
    "revoke a revoked client's": ("revoked", lambda s: s.revoke(1), Conflict, "client_revoked"),
    "revoke client, not authorised": ("current", lambda s: s.revoke_client(by="eve"), Forbidden, "not_authorised"),
    "revoke client twice": ("revoked", lambda s: s.revoke_client(), Conflict, "client_revoked"),
    "suspend, not authorised": ("current", lambda s: s.suspend(by="eve"), Forbidden, "not_authorised"),
    "suspend twice": ("suspended", lambda s: s.suspend(), Conflict, "client_suspended"),
    "suspend, revoked": ("revoked", lambda s: s.suspend(), Conflict, "client_revoked"),
    "resume, not authorised": ("suspended", lambda s: s.resume(by="eve"), Forbidden, "not_authorised"),
    "resume what is active": ("current", lambda s: s.resume(), Conflict, "not_suspended"),
    "resume, revoked": ("revoked", lambda s: s.resume(), Conflict, "client_revoked"),
    "resume without a live version": ("emptied", lambda s: s.resume(), Conflict, "no_live_version"),
}

REFUSED = {**REQUESTS, **EMERGENCIES, **ROTATION, **GOING_BACK, **ENDING}


@pytest.mark.parametrize(("stage", "attempt", "kind", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(stage: str, attempt: Callable[[Scene], object], kind: type[Refusal], reason: str) -> None:
    scene = staged(stage)
    with pytest.raises(Refusal) as caught:
        attempt(scene)
    assert (type(caught.value), caught.value.reason) == (kind, reason)


@pytest.mark.parametrize("stage", STAGES)
def test_a_refusal_changes_nothing(stage: str) -> None:
    scene = staged(stage)
    before = scene.state
    with pytest.raises(Refusal):
        scene.emergency(9, by="eve")
    assert scene.state is before


def test_an_ack_after_the_deadline_of_an_acknowledged_rotation() -> None:
    scene = staged("current")
    scene.request(2, not_before=scene.now + 10 * DAY)
    scene.distribute(2)
    scene.acknowledge(2)
    scene.wait(timedelta(hours=72) - TICK).acknowledge(2, by="bo")
    with pytest.raises(Conflict) as caught:
        scene.wait(TICK).acknowledge(2, by="cy")
    assert caught.value.reason == "ack_deadline_over"
    assert [ack.user for ack in scene.rotation(2).acks] == ["ada", "bo"]


def test_distribute_for_a_client_that_may_not_verify() -> None:
    # Suspending cancels an open rotation, so no command leads to this state. The guard is tested on its own.
    scene = staged("requested")
    scene.state = scene.state.with_client(status=ClientStatus.SUSPENDED)
    with pytest.raises(Conflict) as caught:
        scene.distribute(2)
    assert caught.value.reason == "client_suspended"


@pytest.mark.parametrize("needed", [2, 3, 4])
def test_a_quorum_of_others_must_be_there(needed: int) -> None:
    few = staged("current", ("ada", "bo", "cy", "di")[:needed], quorum=needed)
    with pytest.raises(PolicyViolation) as caught:
        few.request(2)
    assert caught.value.reason == "quorum_unreachable"


def test_an_emergency_quorum_of_the_policy_must_be_there() -> None:
    scene = staged("current", ("ada", "bo"), emergency_quorum=2)
    with pytest.raises(PolicyViolation) as caught:
        scene.emergency(2)
    assert caught.value.reason == "quorum_unreachable"


def test_requests_an_hour_per_client() -> None:
    scene = staged("current", requests_per_hour_per_client=2)
    for number in (2, 3):
        scene.request(number)
        scene.cancel(number)
        scene.wait(MINUTE)
    with pytest.raises(RateLimited) as caught:
        scene.request(4)
    assert caught.value.retry_after_seconds == 58 * 60
    scene.wait(58 * MINUTE).request(4)
    assert scene.rotation(4).rotation_id == rotation_id(4)


def test_emergencies_count_too() -> None:
    scene = staged("current", requests_per_hour_per_client=2)
    scene.emergency(2)
    scene.emergency(3)
    with pytest.raises(RateLimited) as caught:
        scene.wait(HOUR - TICK).emergency(4)
    assert caught.value.retry_after_seconds == 1


def test_a_clock_that_is_set_back_neither_counts_requests_for_long_nor_starts_an_interval() -> None:
    scene = staged("current", requests_per_hour_per_client=1)
    scene.request(2)
    scene.cancel(2)
    scene.now = min(scene.now, scene.state.client.last_promoted_at or scene.now) - HOUR
    scene.request(3)
    assert scene.rotation(3).rotation_id == rotation_id(3)
