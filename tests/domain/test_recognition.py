"""What this release does not know grants nothing, and takes nothing away by time alone (docs/upgrade.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain import commands, guards, lifecycle
from keyturn.domain.errors import Conflict
from keyturn.domain.lifecycle import TABLE
from keyturn.domain.model import ClientKind, ClientStatus, Outcome, Phase
from keyturn.domain.policy import Policy
from keyturn.domain.recognition import may_grant
from keyturn.domain.record import MISSING, Unread, unrecognised

from tests.domain.scene import DAY, MARGIN, SECOND, staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.domain.model import ClientState

GRANTS = {
    commands.Request,
    commands.Emergency,
    commands.Distribute,
    commands.Acknowledge,
    commands.CountCanaries,
    commands.Restore,
    commands.RetireSilent,
    commands.Resume,
}
TAKES_OR_KEEPS = {
    commands.Cancel,
    commands.Rollback,
    commands.Retire,
    commands.RevokeVersion,
    commands.RevokeLeaked,
    commands.RevokeClient,
    commands.Suspend,
}


def with_rotation(state: ClientState, **changes: Any) -> ClientState:  # noqa: ANN401 - fields of a rotation
    assert state.rotation is not None
    return state.with_rotation(replace(state.rotation, **changes))


NEWER: dict[str, Callable[[ClientState], ClientState]] = {
    "policy": lambda state: state.with_client(policy={"hardware_quorum": 2}),
    "policy of another type": lambda state: state.with_client(policy={"quorum": "all"}),
    "policy with wider bounds": lambda state: state.with_client(policy={"quorum": 51}),
    "kind": lambda state: state.with_client(kind=unrecognised(ClientKind, "mutual_tls")),
    "status": lambda state: state.with_client(status=unrecognised(ClientStatus, "quarantined")),
    "damaged approvals": lambda state: state.with_client(unread={"approvals": Unread(17, ())}),
}
NEWER_ROTATION: dict[str, Callable[[ClientState], ClientState]] = {
    "phase": lambda state: with_rotation(state, phase=unrecognised(Phase, "witnessed")),
    "damaged quorum": lambda state: with_rotation(state, unread={"quorum": Unread(MISSING, 1)}),
}
UNKNOWN = NEWER | NEWER_ROTATION


def test_each_command_grants_or_takes() -> None:
    guarded = {kind for kind, row in TABLE.items() if guards.known_to_this_release in row.guards}
    assert guarded == GRANTS
    assert set(TABLE) == GRANTS | TAKES_OR_KEEPS


def test_a_field_of_a_newer_release_alone_stops_nothing() -> None:
    scene = staged("acknowledged")
    state = scene.state.with_client(unread={"newer": Unread(17)})
    assert may_grant(with_rotation(state, unread={"newer": Unread(17)}))
    assert may_grant(scene.state.with_client(policy={"quorum": 2}))


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_time_promotes_nothing_that_is_unknown_and_ends_nothing_either(unknown: str) -> None:
    scene = staged("acknowledged")
    scene.state = UNKNOWN[unknown](scene.state)
    scene.wait(30 * DAY)
    scene.settle()
    assert scene.state.client.active_rotation is not None
    assert scene.history[-1].action == "acknowledge"
    # The sweeper and the verifiers of a newer release look at it at once, and compute the step themselves.
    due = lifecycle.next_due_at(scene.state, scene.policy)
    assert due is not None
    assert due <= scene.now


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_an_acknowledgement_under_what_is_unknown_is_refused(unknown: str) -> None:
    scene = staged("distributed")
    scene.state = UNKNOWN[unknown](scene.state)
    with pytest.raises(Conflict) as refusal:
        scene.acknowledge(2)
    assert refusal.value.reason == "newer_release"


@pytest.mark.parametrize("unknown", NEWER)
def test_a_request_under_what_is_unknown_is_refused_and_revoking_works(unknown: str) -> None:
    scene = staged("grace")
    scene.state = NEWER[unknown](scene.state)
    for request in (scene.request, scene.emergency):
        with pytest.raises(Conflict) as refusal:
            request(3)
        assert refusal.value.reason == "newer_release"
    scene.revoke_client(by="ada")
    scene.revoke_client(by="bo")
    assert scene.state.client.status is ClientStatus.REVOKED


@pytest.mark.parametrize("unknown", ["policy", "kind", "damaged approvals"])
def test_a_rollback_goes_back_to_a_live_version_under_an_unknown_policy(unknown: str) -> None:
    scene = staged("grace")
    before = scene.state.client.previous_version
    scene.state = NEWER[unknown](scene.state)
    scene.rollback()
    assert scene.state.client.current_version == before
    with pytest.raises(Conflict) as refusal:
        scene.restore()
    assert refusal.value.reason == "newer_release"


def test_nothing_goes_back_to_a_damaged_version() -> None:
    scene = staged("grace")
    previous = scene.state.previous
    assert previous is not None
    scene.state = scene.state.with_versions(replace(previous, unread={"receipt_key": Unread(17, None)}))
    with pytest.raises(Conflict) as refusal:
        scene.rollback()
    assert refusal.value.reason == "newer_release"
    with pytest.raises(Conflict) as refusal:
        scene.revoke(2)
    assert refusal.value.reason == "last_live_version"


@pytest.mark.parametrize("status", [commands.Suspend, commands.Rollback])
def test_a_command_that_needs_an_active_client_is_refused_under_an_unknown_status(status: Any) -> None:  # noqa: ANN401 - a class of commands
    scene = staged("grace")
    scene.state = NEWER["status"](scene.state)
    with pytest.raises(Conflict) as refusal:
        scene.act(status(**scene.by("ada")))
    assert refusal.value.reason == "newer_release"


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_an_unknown_rotation_can_be_canceled_before_any_release_promotes_it(unknown: str) -> None:
    scene = staged("acknowledged")
    scene.state = UNKNOWN[unknown](scene.state)
    scene.cancel(2)
    assert scene.state.client.active_rotation is None
    assert scene.rotation(2).outcome is Outcome.CANCELED


def test_cancel_counts_on_a_promotion_by_another_release() -> None:
    # With a grace of 0 a promotion retires the current version, which a late cancel would revive (rule 6).
    scene = staged("acknowledged")
    scene.state = with_rotation(NEWER["policy"](scene.state), grace_duration_ms=0)
    scene.now = scene.rotation(2).not_before - MARGIN
    with pytest.raises(Conflict) as refusal:
        scene.cancel(2)
    assert refusal.value.reason == "promotion_imminent"
    scene.now -= SECOND
    scene.cancel(2)


def test_the_known_part_of_a_policy_holds() -> None:
    policy = Policy().for_client({"quorum": 3, "hardware_quorum": 2, "canaries": "many", "grace_seconds": -1})
    assert policy == Policy().overridden({"quorum": 3})
