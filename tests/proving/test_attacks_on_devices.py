"""Attacks on `admin_proof` by way of the device, one table for every kind that is no software of our own.

Phones by App Attest and App Check, security keys by WebAuthn: each row is refused for want of a device, told so to
nobody but the evidence, and leaves the counter where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from keyturn.domain.proofs_policy import Missing, ProofRefused

from tests.proving.attacks_on_devices import ATTACKS, COUNTER, Scene, key, phone, token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.proving.stage import Stage

    Evidence: TypeAlias = Mapping[str, object]
    Forge: TypeAlias = Callable[["Scene", bytes], Evidence]


GENUINE: dict[str, Forge] = {"app_attest": phone(), "webauthn": key(), "app_check": token()}


@pytest.fixture
def scene(stage: Stage) -> Scene:
    return Scene(stage)


@pytest.mark.parametrize("kind", GENUINE)
def test_each_kind_of_device_proves_and_what_counts_has_counted(scene: Scene, kind: str) -> None:
    assert scene.prove(kind, GENUINE[kind])["jwt_proof"]
    risen = {"app_attest": [6, 5, 0], "webauthn": [5, 6, 0], "app_check": [5, 5, 0]}
    assert scene.counters() == risen[kind]


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused_and_kept_as_evidence(scene: Scene, name: str) -> None:
    with pytest.raises(ProofRefused) as refusal:
        scene.prove(*ATTACKS[name])
    assert refusal.value.missing == (Missing.DEVICE,)
    assert (refusal.value.reason, refusal.value.status) == ("proof_refused", 401)
    kept = [(entry["user"], tuple(entry["missing"])) for entry in scene.stage.evidence()]
    assert kept == [("alice", (Missing.DEVICE,))]
    assert scene.counters() == [COUNTER, COUNTER, 0]
