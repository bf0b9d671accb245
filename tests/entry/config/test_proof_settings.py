from __future__ import annotations

from pathlib import Path

import pytest
from keyturn.entry.config.proof_settings import AMR, NEEDS, ProofSettings, proofs_from_environment
from keyturn.entry.config.settings import SettingsError, Stage

FIREBASE = {"KEYTURN_FIREBASE_PROJECT": "keyturn-prod"}
APPLE = {
    "KEYTURN_ATTESTATIONS": "app_attest",
    "KEYTURN_APP_ATTEST_ROOT": "apple.pem",
    "KEYTURN_APP_ATTEST_APPS": "TEAM123456.com.example.keyturn TEAM123456.com.example.beta",
}
LOCAL = {"KEYTURN_IDENTITY": "local_identity", "KEYTURN_ATTESTATIONS": "dev_attest"}


def test_safe_and_complete_settings_are_accepted() -> None:
    found = proofs_from_environment({**FIREBASE, **APPLE}, Stage.PRODUCTION)
    assert found.app_attest_root == Path("apple.pem")
    assert found.app_attest_apps == ("TEAM123456.com.example.keyturn", "TEAM123456.com.example.beta")
    assert found.device_methods == ("app_attest",)


def test_one_machine_proves_without_google_and_without_a_setting() -> None:
    assert proofs_from_environment({}, Stage.LOCAL) == proofs_from_environment(LOCAL, Stage.LOCAL)
    found = proofs_from_environment({}, Stage.LOCAL)
    assert (found.identity, found.device_methods) == ("local_identity", ("dev_attest",))


def test_methods_are_named_once() -> None:
    assert ProofSettings(attestations=("app_check", "app_attest", "webauthn")).device_methods == ("app_attest", "hwk")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({**FIREBASE, **APPLE, "KEYTURN_IDENTITY": "local_identity"}, "local_identity"),
        ({**FIREBASE, **APPLE, "KEYTURN_ATTESTATIONS": "app_attest dev_attest"}, "dev_attest"),
        ({**FIREBASE, **APPLE, "FIREBASE_AUTH_EMULATOR_HOST": "127.0.0.1:9099"}, "emulator"),
        ({**FIREBASE, **APPLE, "FIRESTORE_EMULATOR_HOST": "127.0.0.1:8080"}, "emulator"),
    ],
)
def test_production_refuses_the_unsafe_by_name(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        proofs_from_environment(environment, Stage.PRODUCTION)
    assert proofs_from_environment(environment, Stage.LOCAL).attestations


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "KEYTURN_FIREBASE_PROJECT"),
        ({**FIREBASE, "KEYTURN_ATTESTATIONS": "app_check"}, "KEYTURN_APP_CHECK_PROJECT, KEYTURN_APP_CHECK_APPS"),
        ({**FIREBASE, "KEYTURN_ATTESTATIONS": "app_attest"}, "KEYTURN_APP_ATTEST_ROOT, KEYTURN_APP_ATTEST_APPS"),
        ({**FIREBASE, "KEYTURN_ATTESTATIONS": "webauthn"}, "KEYTURN_WEBAUTHN_RP_ID"),
        ({**FIREBASE, "KEYTURN_ATTESTATIONS": "wishful_thinking"}, "KEYTURN_ATTESTATIONS must be a list of app_check"),
        (
            {**FIREBASE, **APPLE, "KEYTURN_APP_ATTEST_ENVIRONMENT": "test"},
            "KEYTURN_APP_ATTEST_ENVIRONMENT must be one of production",
        ),
        ({"KEYTURN_IDENTITY": "hearsay"}, "KEYTURN_IDENTITY must be one of firebase"),
    ],
)
def test_a_missing_or_unknown_setting_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        proofs_from_environment(environment, Stage.TRIAL)


def test_every_kind_of_device_has_a_row_and_says_the_same_in_its_proofs() -> None:
    from keyturn.adapters.attestation.app_attest import AppAttestation
    from keyturn.adapters.attestation.app_check import AppCheckAttestation
    from keyturn.adapters.attestation.dev_attest import DevAttestation
    from keyturn.adapters.attestation.security_key import SecurityKeyAttestation

    fields = [kind.__dataclass_fields__ for kind in (AppAttestation, AppCheckAttestation, SecurityKeyAttestation)]
    said = {found["kind"].default: found["amr"].default for found in fields}
    assert {**said, DevAttestation.kind: DevAttestation.amr} == AMR
    assert AMR.keys() <= NEEDS.keys()
