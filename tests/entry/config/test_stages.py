"""The settings that each stage refuses, by name; the same variables are accepted where they belong."""

from __future__ import annotations

import pytest
from keyturn.entry.config.settings import SettingsError, Stage, from_environment

SAFE = {"KEYTURN_STAGE": "production", "KEYTURN_PROJECT": "keyturn-prod", "KEYTURN_AUTHORISER": "attested_admin"}
TRIAL = {**SAFE, "KEYTURN_STAGE": "trial"}
LISTED = {"KEYTURN_TRIAL_PROJECT": "keyturn-prod"}

UNSAFE = {
    "Firestore's emulator": ({"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"}, "FIRESTORE_EMULATOR_HOST"),
    "Pub/Sub's emulator": ({"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}, "PUBSUB_EMULATOR_HOST"),
    "the stand-in for KMS": ({"KEYTURN_KMS_EMULATOR_HOST": "127.0.0.1:1"}, "KEYTURN_KMS_EMULATOR_HOST"),
    "Auth's emulator": ({"FIREBASE_AUTH_EMULATOR_HOST": "127.0.0.1:1"}, "FIREBASE_AUTH_EMULATOR_HOST"),
    "an emulator that does not exist yet": ({"SPANNER_EMULATOR_HOST": "127.0.0.1:1"}, "SPANNER_EMULATOR_HOST"),
    "the unsafe authoriser": ({"KEYTURN_AUTHORISER": "unsafe_no_attestation"}, "unsafe_no_attestation"),
    "a local key file": ({"KEYTURN_DATA": "/var/lib/keyturn"}, "KEYTURN_DATA"),
    "Flask's debugger": ({"FLASK_DEBUG": "1"}, "FLASK_DEBUG"),
    "Flask's older switch": ({"FLASK_ENV": "development"}, "FLASK_ENV"),
    "Python's development mode": ({"PYTHONDEVMODE": "1"}, "PYTHONDEVMODE"),
    "talkative gRPC": ({"GRPC_VERBOSITY": "debug"}, "GRPC_VERBOSITY"),
}


def test_production_accepts_safe_settings() -> None:
    assert from_environment(SAFE).stage is Stage.PRODUCTION


@pytest.mark.parametrize("name", UNSAFE)
def test_production_refuses_by_name_and_echoes_no_value(name: str) -> None:
    given, named = UNSAFE[name]
    with pytest.raises(SettingsError) as refused:
        from_environment({**SAFE, **given})
    assert named in str(refused.value)
    assert not [value for value in given.values() if len(value) > 2 and value != named and value in str(refused.value)]


def test_production_names_everything_at_once() -> None:
    together = {name: value for given, _ in UNSAFE.values() for name, value in given.items()}
    with pytest.raises(SettingsError) as refused:
        from_environment({**SAFE, **together})
    assert [named for _, named in UNSAFE.values() if named not in str(refused.value)] == []


def test_the_only_key_file_that_production_accepts_signs_tokens() -> None:
    """The alternative to a call of KMS for each token (docs/verifier.md has its trade); MACs and seals stay in KMS."""
    assert from_environment(SAFE).sign_key_file is None
    assert from_environment({**SAFE, "KEYTURN_SIGN_KEY_FILE": "/run/keys/sign.json"}).sign_key_file is not None
    with pytest.raises(SettingsError, match="KEYTURN_DATA"):
        from_environment({**SAFE, "KEYTURN_SIGN_KEY_FILE": "/run/keys/sign.json", "KEYTURN_DATA": "/run/keys"})


def test_no_stage_is_production() -> None:
    unnamed = {name: value for name, value in SAFE.items() if name != "KEYTURN_STAGE"}
    assert from_environment(unnamed).stage is Stage.PRODUCTION
    with pytest.raises(SettingsError, match="FIRESTORE_EMULATOR_HOST"):
        from_environment({**unnamed, "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"})


@pytest.mark.parametrize("name", UNSAFE)
def test_one_machine_accepts_every_unsafe_setting(name: str) -> None:
    given, _ = UNSAFE[name]
    assert from_environment({**SAFE, **given, "KEYTURN_STAGE": "local"}).stage is Stage.LOCAL


def test_a_trial_is_only_for_the_listed_project() -> None:
    assert from_environment({**TRIAL, **LISTED}).banner == "TRIAL: attested_admin"
    for listed in ({}, {"KEYTURN_TRIAL_PROJECT": "another"}):
        with pytest.raises(SettingsError, match="KEYTURN_TRIAL_PROJECT"):
            from_environment({**TRIAL, **listed})


def test_a_trial_requires_proofs_like_production() -> None:
    with pytest.raises(SettingsError, match="unsafe_no_attestation"):
        from_environment({**TRIAL, **LISTED, "KEYTURN_AUTHORISER": "unsafe_no_attestation"})


def test_proofs_are_required_by_default() -> None:
    unsaid = {name: value for name, value in SAFE.items() if name != "KEYTURN_AUTHORISER"}
    for stage in ("local", "production"):
        assert from_environment({**unsaid, "KEYTURN_STAGE": stage}).attested


def test_a_trial_has_no_data_folder() -> None:
    with pytest.raises(SettingsError, match="KEYTURN_DATA"):
        from_environment({**TRIAL, **LISTED, "KEYTURN_DATA": "/var/lib/keyturn"})
