"""Attacks on `admin_proof`: each row is refused, with what it lacks in the evidence, and with nothing in the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from keyturn.domain.errors import Unauthenticated
from keyturn.domain.proofs_policy import ProofRefused
from keyturn.use_cases.admin_proof.factors import CheckFactors

from tests.proving.attacks_on_factors import ATTACKS, CHALLENGES, DEVICE, POLICY, Attack
from tests.proving.stage import URL, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.use_cases.admin_proof.factors import ProofRequest

    Make: TypeAlias = "Callable[[Stage], ProofRequest]"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_refused_and_kept_as_evidence(stage: Stage, attack: Attack) -> None:
    asked = attack.make(stage)
    with pytest.raises(ProofRefused) as refusal:
        stage.prover()(asked)
    assert refusal.value.missing == attack.missing
    assert (refusal.value.reason, refusal.value.status) == ("proof_refused", 401)
    assert all(lack.value not in refusal.value.sentence.split() for lack in attack.missing)
    kept = [(entry["user"], tuple(entry["missing"])) for entry in stage.evidence()]
    assert kept == ([(attack.user, attack.missing)] if attack.user else [])


@pytest.mark.parametrize("denied", ["alice", "the key", "acme"])
def test_a_denied_caller_gets_no_proof_whatever_the_evidence(stage: Stage, denied: str) -> None:
    name = stage.people["alice"].npub if denied == "the key" else denied
    with pytest.raises(ProofRefused) as refusal:
        stage.prover(denied=frozenset({name}))(stage.asked())
    assert refusal.value.missing == POLICY


def test_a_kind_of_device_that_does_not_count_here_is_no_device(stage: Stage) -> None:
    with pytest.raises(ProofRefused) as refusal:
        stage.prover(factors=CheckFactors(stage.authority, {}, URL))(stage.asked())
    assert refusal.value.missing == DEVICE


@pytest.mark.parametrize("make", CHALLENGES.values(), ids=CHALLENGES)
def test_challenge_is_refused(stage: Stage, make: Make) -> None:
    asked = make(stage)
    with pytest.raises(Unauthenticated) as refusal:
        stage.prover()(asked)
    assert refusal.value.reason == "challenge_refused"
    assert stage.admin().last_step == 0
