"""A leaked secret is revoked and replaced in one decision, whatever is going on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.domain import commands
from keyturn.domain.errors import Conflict, Forbidden, Refusal
from keyturn.domain.invariants import breaches
from keyturn.domain.lifecycle import decide, decide_all
from keyturn.domain.model import ClientStatus, Outcome, Phase, RetiredBecause, VersionState

from tests.domain.scene import GRACE, MINUTE, STAGES, Scene, staged, version_id


def test_the_only_version_dies_and_its_successor_is_asked_for_in_one_decision() -> None:
    scene = staged("current")
    decision = scene.burn(1, 2)
    assert [item.action for item in decision.transitions] == ["revoke", "emergency"]
    assert {item.actor for item in decision.transitions} == {"operator"}
    assert scene.version(1).retired_because is RetiredBecause.REVOKED
    assert [scene.state.client.status] == [ClientStatus.SUSPENDED]
    assert not decision.awaits_second_person
    scene.distribute(2)
    scene.acknowledge(2, "ada")
    scene.acknowledge(2, "bo")
    assert scene.state.client.status is ClientStatus.ACTIVE
    assert scene.version(2).state is VersionState.CURRENT


def test_the_version_in_grace_takes_over_until_the_successor_comes() -> None:
    scene = staged("grace")
    scene.burn(2, 3)
    assert (scene.state.client.status, scene.state.client.current_version) == (ClientStatus.ACTIVE, version_id(1))
    scene.distribute(3)
    scene.acknowledge(3, "ada")
    scene.acknowledge(3, "bo")
    assert scene.version(1).not_after == scene.now + GRACE
    assert scene.version(3).state is VersionState.CURRENT


@pytest.mark.parametrize("stage", ["requested", "distributed", "acknowledged"])
def test_what_is_open_is_canceled_first(stage: str) -> None:
    scene = staged(stage)
    decision = scene.burn(1, 3)
    assert [item.action for item in decision.transitions] == ["cancel", "revoke", "emergency"]
    assert scene.rotation(2).outcome is Outcome.CANCELED
    assert scene.rotation(3).phase is Phase.REQUESTED


def test_a_pending_version_is_canceled_and_the_current_one_goes_on() -> None:
    scene = staged("distributed")
    decision = scene.burn(2, 3)
    assert [item.action for item in decision.transitions] == ["cancel", "emergency"]
    assert scene.version(1).state is VersionState.CURRENT


def test_every_ack_counts_because_the_operator_is_not_in_the_group() -> None:
    scene = staged("current", people=("ada", "bo"))
    scene.burn(1, 2)
    assert (scene.rotation(2).quorum, scene.rotation(2).ack_counts("ada")) == (2, True)


def test_no_second_person_is_awaited_where_a_forced_revocation_would_be() -> None:
    scene = staged("current")
    forced = commands.RevokeVersion(**scene.by("ada"), version_id=version_id(1), force=True)
    assert decide(scene.state, forced, scene.policy, scene.now, scene.longest_commit).awaits_second_person
    assert not decide(
        scene.state, scene.leak_report(1), scene.policy, scene.now, scene.longest_commit
    ).awaits_second_person


@pytest.mark.parametrize("key", [None, "", "receipt-key-2"])
def test_a_report_that_the_secret_did_not_sign_does_nothing(key: str | None) -> None:
    scene = staged("current")
    with pytest.raises(Forbidden) as refused:
        scene.burn(1, 2, receipt_key=key)
    assert refused.value.reason == "bad_sighting"
    assert scene.version(1).state is VersionState.CURRENT


def test_a_retired_version_is_not_revoked_again() -> None:
    scene = staged("current")
    scene.burn(1, 2)
    with pytest.raises(Conflict) as refused:
        scene.burn(1, 3)
    assert refused.value.reason == "version_not_live"


def test_several_commands_are_all_or_nothing() -> None:
    scene = staged("current")
    wanted = [scene.leak_report(1), scene.leak_report(1)]
    with pytest.raises(Refusal):
        decide_all(scene.state, wanted, scene.policy, scene.now, scene.longest_commit)
    assert decide_all(scene.state, [], scene.policy, scene.now, scene.longest_commit).state is scene.state


@given(st.sampled_from(sorted(STAGES)), st.integers(1, 3), st.integers(0, 40))
def test_together_is_one_after_the_other(stage: str, number: int, minutes: int) -> None:
    """Whatever the state: the same state and transitions as the two apart, or the refusal of one of them."""
    both, apart = staged(stage), staged(stage)
    for scene in (both, apart):
        scene.wait(minutes * MINUTE)
    try:
        decision = both.burn(number, 9)
    except Refusal as refused:
        with pytest.raises(type(refused)):
            _one_by_one(apart, number)
        return
    assert _one_by_one(apart, number) == both.state
    assert list(decision.transitions) == apart.history[-len(decision.transitions) :]
    assert list(breaches(both.state)) == []


def _one_by_one(scene: Scene, number: int) -> object:
    revoke = scene.leak_report(number)
    scene.act(revoke)
    evidence = {name: getattr(revoke, name) for name in ("actor", "groups", "people")}
    scene.act(commands.Emergency(**{**scene._asked(9, "ada"), **evidence}))
    return scene.state
