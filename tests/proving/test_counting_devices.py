"""A device that counts, in whole proofs: its counter rises in the proof's own commit, and never falls."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.proofs_policy import Missing, ProofRefused
from keyturn.records.admin import AdminDevice
from keyturn.use_cases.admin_proof.factors import CheckFactors, ProofRequest

from tests.adapters.attestation.apple_phone import KIND, Phone, registered
from tests.proving.stage import URL

if TYPE_CHECKING:
    from keyturn.use_cases.admin_proof.prove import ProveAdmin

    from tests.proving.stage import Stage


def with_phone(stage: Stage) -> tuple[Phone, ProveAdmin]:
    """Give Alice a telephone in place of her device."""
    phone = Phone()
    stage.change_admin(devices=(AdminDevice(stage.people["alice"].npub, registered(phone)),))
    return phone, stage.prover(factors=CheckFactors(stage.authority, {"app_attest": KIND}, URL))


def asserted(stage: Stage, phone: Phone, **changes: Any) -> ProofRequest:  # noqa: ANN401 - the fields of Asked
    asked = stage.asked(**changes)
    evidence = phone.assertion(asked.statement(URL))
    return replace(asked, device_kind="app_attest", device_id=registered(phone).device_id, evidence=evidence)


def counter(stage: Stage) -> int:
    return stage.admin().devices[0].key.counter


def test_the_counter_that_was_asserted_is_the_one_to_exceed(stage: Stage) -> None:
    phone, prover = with_phone(stage)
    copy = replace(phone)
    prover(asserted(stage, phone))
    assert counter(stage) == 1
    stage.now += timedelta(seconds=30)
    with pytest.raises(ProofRefused) as refusal:
        prover(asserted(stage, copy))
    assert refusal.value.missing == (Missing.DEVICE,)
    prover(asserted(stage, phone))
    assert counter(stage) == 2


def test_a_wrong_code_uses_up_the_assertion_that_came_with_it(stage: Stage) -> None:
    phone, prover = with_phone(stage)
    with pytest.raises(ProofRefused):
        prover(asserted(stage, phone, totp="000000"))
    assert counter(stage) == 1
