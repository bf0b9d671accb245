"""WebAuthn with an authenticator of the test's own, built as the specification says (§6.5, §8.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.attestation.security_key import SecurityKeyAttestation, read_roots
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused

from tests.adapters.attestation.authorities import NOW, root
from tests.adapters.attestation.webauthn_key import (
    KIND,
    ORIGIN,
    PRESENT,
    ROOT,
    RP,
    STATEMENT,
    VERIFIED,
    SecurityKey,
    registered,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_whose_maker_is_trusted_is_registered_and_asserts_itself() -> None:
    key = SecurityKey()
    device = registered(key)
    assert (device.kind, device.device_id) == ("webauthn", base64url_encode(key.credential_id))
    assert KIND.check(key.assertion(), STATEMENT, device, NOW) == 1


def test_the_longest_id_is_registered() -> None:
    assert registered(SecurityKey(credential_id=bytes(1023))).device_id == base64url_encode(bytes(1023))


def test_the_formats_that_count_are_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "packed.pem").write_bytes(root("Another Maker").pem + ROOT.pem)
    kind = SecurityKeyAttestation(RP, (ORIGIN,), read_roots(tmp_path))
    assert kind.register(SecurityKey().registration(), STATEMENT, NOW).kind == "webauthn"


REGISTRATIONS = {
    "of another maker": (SecurityKey().registration(root("Another Maker")), "bad_registration"),
    "that vouches for itself": (SecurityKey().registration(None), "format_not_allowed"),
    "without attestation": (SecurityKey().registration(fmt="none"), "format_not_allowed"),
    "in a format without roots": (SecurityKey().registration(fmt="fido-u2f"), "format_not_allowed"),
    "of another model than its certificate": (SecurityKey().registration(model=bytes(16)), "wrong_model"),
    "for another domain": (SecurityKey(rp="other.example").registration(), "bad_registration"),
    "from another origin": (SecurityKey(origin="https://other.example").registration(), "bad_registration"),
    "without verifying the user": (SecurityKey(flags=PRESENT).registration(), "bad_registration"),
    "without anybody present": (SecurityKey(flags=VERIFIED).registration(), "bad_registration"),
    "with a long id": (SecurityKey(credential_id=bytes(1024)).registration(), "large_credential"),
    "that is an assertion": (SecurityKey().assertion(), "malformed_evidence"),
    "that is nothing": ({"credential": {"response": {}}}, "malformed_evidence"),
    "that is a list": ({"credential": []}, "malformed_evidence"),
    "too large": ({"credential": {"response": {"attestationObject": "A" * 40_000}}}, "malformed_evidence"),
}


@pytest.mark.parametrize(("evidence", "reason"), REGISTRATIONS.values(), ids=REGISTRATIONS)
def test_registration_is_refused(evidence: dict[str, object], reason: str) -> None:
    with pytest.raises(AttestationRefused) as refusal:
        KIND.register(evidence, STATEMENT, NOW)
    assert str(refusal.value) == reason


def refused(key: SecurityKey, evidence: dict[str, object], counter: int = 0) -> str:
    with pytest.raises(AttestationRefused) as refusal:
        KIND.check(evidence, STATEMENT, replace(registered(key), counter=counter), NOW)
    return str(refusal.value)


def test_assertions_that_are_not_of_this_key_and_statement_are_refused() -> None:
    key, other = SecurityKey(), SecurityKey()
    assert refused(key, other.assertion()) == "wrong_key_id"
    assert refused(key, key.assertion(by=other.key)) == "bad_assertion"
    assert refused(key, key.assertion(b"another statement")) == "bad_assertion"
    assert refused(key, replace(key, origin="https://other.example").assertion()) == "bad_assertion"
    assert refused(key, replace(key, rp="other.example").assertion()) == "bad_assertion"
    assert refused(key, replace(key, flags=PRESENT).assertion()) == "bad_assertion"


def test_a_counter_that_fell_is_refused() -> None:
    key = SecurityKey()
    assert refused(key, key.assertion(), counter=7) == "bad_assertion"
