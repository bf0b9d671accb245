"""Attacks on `rotate_request`: each row is refused, with what it lacks in the evidence and nothing in the answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from keyturn.domain.errors import Forbidden, InvalidRequest, Unauthenticated, Unavailable
from keyturn.domain.proofs_policy import AllOf, AnyOf, Missing, ProofRefused
from keyturn.proofs.errors import Unproven
from keyturn.use_cases.refusal_log import MOST_ENTRIES

from tests.proving.attacks_on_proofs import ATTACKS, UNSEATED, Attack

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.proofs.nostr import Event

    from tests.proving.stage import Stage

    Forge: TypeAlias = "Callable[[Stage, str], str]"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_refused_and_kept_as_evidence(stage: Stage, attack: Attack) -> None:
    presented = attack.forge(stage, stage.proof())
    with pytest.raises(ProofRefused) as refusal:
        # Another second: another event, so that no stored answer can be given.
        stage.door()(stage.event(proof=presented, seconds=1).to_json().encode())
    assert refusal.value.missing == (attack.missing,)
    assert (refusal.value.reason, refusal.value.status) == ("proof_refused", 401)
    alice = stage.people["alice"].npub
    kept = [(entry["npub"], entry["client_id"], entry["missing"]) for entry in stage.evidence()]
    assert kept == [(alice, "acme", (attack.missing.value,))]


def test_a_huge_proof_is_no_proof(stage: Stage) -> None:
    with pytest.raises(InvalidRequest):
        stage.door()(stage.event(proof="A" * 5000).to_json().encode())


@pytest.mark.parametrize(
    "change",
    [{"rotation_reason": "because I say so"}, {"grace_duration_ms": 0}, {"supersede": True}, {"not_before": 0}],
    ids=lambda change: next(iter(change)),
)
def test_a_stolen_proof_serves_no_other_request(stage: Stage, change: dict[str, Any]) -> None:
    event = stage.event(proof=stage.proof(), **change)
    with pytest.raises(ProofRefused) as refusal:
        stage.door()(event.to_json().encode())
    assert refusal.value.missing == (Missing.REQUEST,)


def test_a_proof_of_another_admin_is_useless_with_a_new_signature(stage: Stage) -> None:
    with pytest.raises(ProofRefused) as refusal:
        stage.door()(stage.event("bob", proof=stage.proof()).to_json().encode())
    assert refusal.value.missing == (Missing.NPUB,)


def test_content_or_tags_that_were_changed_break_the_signature(stage: Stage) -> None:
    event = stage.event(proof=stage.proof())
    swapped = tuple(("client", "globex") if tag[0] == "client" else tag for tag in event.tags)
    for changed in (replace(event, content=event.content.replace("time", "spite")), replace(event, tags=swapped)):
        with pytest.raises(Unproven):
            stage.door()(changed.to_json().encode())


def test_an_event_of_another_time_is_stale_whatever_it_proves(stage: Stage) -> None:
    for seconds in (-121, 121):
        with pytest.raises(InvalidRequest) as refusal:
            stage.door()(stage.event(proof=stage.proof(), seconds=seconds).to_json().encode())
        assert refusal.value.reason == "stale_event"


@pytest.mark.parametrize("make", UNSEATED.values(), ids=UNSEATED)
def test_an_admin_outside_the_group_is_refused_and_recorded(stage: Stage, make: Callable[[Stage], Event]) -> None:
    event = make(stage)
    with pytest.raises(Forbidden) as refusal:
        stage.door()(event.to_json().encode())
    assert (refusal.value.reason, refusal.value.status) == ("not_authorised", 403)
    kept = [(entry["npub"], list(entry["missing"])) for entry in stage.evidence()]
    assert kept == [(stage.people["alice"].npub, ["membership"])]


def test_a_proof_from_before_a_denial_is_useless(stage: Stage) -> None:
    with pytest.raises(Forbidden):
        stage.door(denied=frozenset({"alice"}))(stage.event(proof=stage.proof()).to_json().encode())


def test_without_trusted_keys_nothing_is_accepted_and_nothing_is_recorded(stage: Stage) -> None:
    def down() -> bytes:
        raise OSError

    proof = stage.proof()
    stage.fetch = down
    with pytest.raises(Unavailable):
        stage.door()(stage.event(proof=proof).to_json().encode())
    assert stage.evidence() == []


def test_an_unknown_caller_learns_nothing_and_is_not_recorded(stage: Stage) -> None:
    refusals = []
    for user in ("mallory", "alice"):
        with pytest.raises(ProofRefused) as refused:
            stage.door()(stage.event(user, proof="").to_json().encode())
        refusals.append((refused.value.reason, refused.value.sentence))
    assert len(set(refusals)) == 1
    assert [entry["user"] for entry in stage.evidence()] == ["alice"]


def test_rules_that_combine_none_refuse(stage: Stage) -> None:
    proof = stage.proof()
    for rule in (AllOf(()), AnyOf(())):
        with pytest.raises(ProofRefused) as refusal:
            stage.door(authoriser=replace(stage.authoriser(), rule=rule))(stage.event(proof=proof).to_json().encode())
        assert refusal.value.missing == (Missing.POLICY,)
        stage.now += timedelta(seconds=10)


def test_a_policy_without_devices_accepts_no_proof(stage: Stage) -> None:
    with pytest.raises(ProofRefused):
        stage.door(authoriser=stage.authoriser(()))(stage.event(proof=stage.proof()).to_json().encode())


def test_evidence_is_bounded_in_rate_and_in_size(stage: Stage) -> None:
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            stage.door()(stage.event(proof="").to_json().encode())
    assert len(stage.evidence()) == 1
    for _ in range(MOST_ENTRIES + 5):
        stage.now += timedelta(seconds=10)
        with pytest.raises(Unauthenticated):
            stage.door()(stage.event(proof="").to_json().encode())
    assert len(stage.evidence()) == MOST_ENTRIES
