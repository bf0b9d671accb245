"""Each kind of device and identity is built from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import firebase_admin  # type: ignore[import-untyped]  # the SDK has no types
import pytest
from keyturn.adapters.attestation.app_attest import DEVELOPMENT
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite, current
from keyturn.entry.config.proof_settings import AMR, ProofSettings
from keyturn.entry.config.settings import Settings, SettingsError, Stage

from tests.adapters.attestation.authorities import root
from tests.proving.stage import Stage as People

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.entry.composition.proof_suite import ProofSuite


def proof_suite(folder: Path, **settings: Any) -> ProofSuite:  # noqa: ANN401 - the fields of ProofSettings
    people = People(folder)
    overrides = Overrides(databases=people.databases, keys=people.keys, proof_settings=ProofSettings(**settings))
    return Suite(Settings(stage=Stage.LOCAL, data=folder, base_url="https://keyturn.example"), overrides).proofs


def test_every_kind_of_device_is_built_from_its_settings(tmp_path: Path) -> None:
    (tmp_path / "apple.pem").write_bytes(root().pem)
    (tmp_path / "packed.pem").write_bytes(root().pem)
    built: Any = proof_suite(
        tmp_path,
        attestations=tuple(AMR),
        app_check_project="123",
        app_check_apps=("app",),
        app_attest_root=tmp_path / "apple.pem",
        app_attest_apps=("TEAM.app",),
        app_attest_environment="development",
        webauthn_rp_id="keyturn.example",
        webauthn_origins=("https://keyturn.example",),
        webauthn_roots=tmp_path,
    ).attestations
    assert {kind: found.amr for kind, found in built.items()} == AMR
    assert built["app_check"].project == "123"
    assert (built["app_attest"].app_ids, built["app_attest"].aaguid) == (frozenset({"TEAM.app"}), DEVELOPMENT)
    assert {"apple", "packed"} == set(built["webauthn"].roots)


def test_firebase_is_the_identity_provider_where_settings_name_its_project(tmp_path: Path) -> None:
    built: Any = proof_suite(tmp_path, firebase_project="keyturn-wired").identity
    assert (built.name, built.app.project_id, built.emulated) == ("firebase", "keyturn-wired", False)
    firebase_admin.delete_app(built.app)


def test_the_local_authority_has_a_key_of_its_own_that_stays(tmp_path: Path) -> None:
    first, second = (proof_suite(tmp_path, identity="local_identity") for _ in range(2))
    now = first.base.databases.control.get([]).read_time
    assert second.identity.subject(first.local_identity_provider.issue("alice", now), now) == "alice"
    assert first.base.keys.signer.public_keys()[0] != first.local_identity_provider.signer.public_keys()[0]


def test_the_local_authority_is_for_one_machine(tmp_path: Path) -> None:
    whole = proof_suite(tmp_path, identity="local_identity")
    elsewhere = Suite(Settings(stage=Stage.TRIAL), Overrides(proof_settings=whole.settings)).proofs
    with pytest.raises(SettingsError, match="local_identity"):
        _ = elsewhere.identity


def test_remote_keys_are_fetched_over_https_only(tmp_path: Path) -> None:
    assert (
        proof_suite(tmp_path, proof_jwks="https://proofs.example/jwks").authoriser("rotate_request").name
        == "attested_admin"
    )
    with pytest.raises(ValueError, match="https"):
        _ = proof_suite(tmp_path, proof_jwks="http://proofs.example/jwks").authoriser("rotate_request")


def test_proofs_are_kept_with_their_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTURN_IDENTITY", "local_identity")
    settings = Settings(stage=Stage.LOCAL, data=tmp_path)
    wiring.use(Suite(settings))
    first = current().proofs
    assert (first, first.settings.identity) == (current().proofs, "local_identity")
    wiring.use(Suite(settings))
    assert current().proofs is not first
    wiring.use(None)
