"""App Attest with an authenticator and certificates of the test's own, built as Apple's are."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from keyturn.adapters.attestation.app_attest import DEVELOPMENT, AppAttestation
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused

from tests.adapters.attestation.apple_phone import INTERMEDIATE, KIND, ROOT, STATEMENT, Phone, registered
from tests.adapters.attestation.authorities import NOW, YEAR, Authority, root


@pytest.fixture
def phone() -> Phone:
    return Phone()


def reason_of(evidence: dict[str, object], kind: AppAttestation = KIND, now_in: timedelta = timedelta(0)) -> str:
    with pytest.raises(AttestationRefused) as refusal:
        kind.register(evidence, STATEMENT, NOW + now_in)
    return str(refusal.value)


def test_a_genuine_device_is_registered_and_asserts_itself(phone: Phone) -> None:
    device = registered(phone)
    assert (device.kind, device.device_id, device.counter) == ("app_attest", base64url_encode(phone.key_id), 0)
    assert KIND.check(phone.assertion(), STATEMENT, device, NOW) == 1
    assert KIND.check(phone.assertion(), STATEMENT, replace(device, counter=1), NOW) == 2


OTHER = root("Another Root")
REGISTRATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "chain to another root": ({"issuer": OTHER.intermediate()}, "wrong_chain"),
    "self-signed authority of the same name": ({"issuer": root("Test App Attestation CA 1")}, "wrong_chain"),
    "leaf alone": ({"chain": ["leaf"]}, "wrong_chain"),
    "no certificate": ({"chain": []}, "wrong_chain"),
    "junk for a certificate": ({"chain": [b"junk"]}, "wrong_chain"),
    "endless chain": ({"chain": ["leaf"] + [INTERMEDIATE.der] * 9}, "wrong_chain"),
    "expired leaf": ({"ends": NOW - timedelta(days=1)}, "wrong_chain"),
    "expired authority": ({"issuer": ROOT.intermediate(ends=NOW - timedelta(days=1))}, "wrong_chain"),
    "no nonce": ({"extension": b""}, "wrong_nonce"),
    "another nonce": ({"extension": bytes.fromhex("3024a1220420") + bytes(32)}, "wrong_nonce"),
    "nonce with a tail": ({"extension": bytes.fromhex("3024a1220420") + bytes(33)}, "wrong_nonce"),
    "counter that is not zero": ({"counter": 1}, "counter_not_zero"),
    "development environment": ({"aaguid": DEVELOPMENT}, "wrong_environment"),
    "another key id in the data": ({"key_id": bytes(32)}, "wrong_key_id"),
    "another key id claimed": ({"claimed": bytes(32)}, "wrong_key_id"),
    "another format": ({"fmt": "packed"}, "wrong_format"),
    "data cut short": ({"data": bytes(40)}, "malformed_evidence"),
    "chain of no bytes": ({"chain": ["junk"]}, "malformed_evidence"),
}


@pytest.mark.parametrize(("changes", "reason"), REGISTRATIONS.values(), ids=REGISTRATIONS)
def test_registration_is_refused(phone: Phone, changes: dict[str, Any], reason: str) -> None:
    assert reason_of(phone.registration(**changes)) == reason


def test_registration_of_another_app_is_refused() -> None:
    assert reason_of(Phone(app="TEAM123456.com.example.other").registration()) == "wrong_app"


def test_registration_over_another_statement_is_refused(phone: Phone) -> None:
    assert reason_of(phone.registration(b"another statement")) == "wrong_nonce"


def test_a_leaf_that_is_no_authority_issues_nothing(phone: Phone) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    fake = Authority(INTERMEDIATE.issue("a device's leaf", key.public_key()), key)
    assert reason_of(phone.registration(issuer=fake, chain=["leaf", fake.der, INTERMEDIATE.der])) == "wrong_chain"


def test_a_key_of_another_curve_is_refused(phone: Phone) -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    assert reason_of(phone.registration(certified=other)) == "bad_public_key"


def test_the_time_of_registration_is_the_stores(phone: Phone) -> None:
    assert reason_of(phone.registration(), now_in=2 * YEAR) == "wrong_chain"


@pytest.mark.parametrize("evidence", [{}, {"attestation": 1, "key_id": "AA"}, {"attestation": "_w", "key_id": "AA"}])
def test_junk_is_no_registration(evidence: dict[str, object]) -> None:
    assert reason_of(evidence) == "malformed_evidence"


def refused(phone: Phone, evidence: dict[str, object], **changes: Any) -> str:  # noqa: ANN401 - the fields of DeviceKey
    with pytest.raises(AttestationRefused) as refusal:
        KIND.check(evidence, STATEMENT, replace(registered(phone), **changes), NOW)
    return str(refusal.value)


def test_a_counter_that_fell_or_stands_is_refused(phone: Phone) -> None:
    assert refused(phone, phone.assertion(), counter=1) == "counter_not_risen"
    assert refused(phone, phone.assertion(), counter=9) == "counter_not_risen"


def test_an_assertion_of_another_key_statement_or_app_is_refused(phone: Phone) -> None:
    assert refused(phone, phone.assertion(by=Phone())) == "bad_signature"
    assert refused(phone, phone.assertion(b"another statement")) == "bad_signature"
    assert refused(phone, replace(phone, app="TEAM123456.com.example.other").assertion()) == "wrong_app"
    assert refused(phone, phone.assertion(), public_key=b"\x04" + bytes(64)) == "bad_public_key"


@pytest.mark.parametrize("junk", [b"", b"\xff", b"\x9f", cbor2.dumps([]), cbor2.dumps({"signature": b""})])
def test_junk_is_no_assertion(phone: Phone, junk: bytes) -> None:
    assert refused(phone, {"assertion": base64url_encode(junk)}) == "malformed_evidence"


def test_data_too_short_to_have_a_counter_is_no_assertion(phone: Phone) -> None:
    nonce = hashlib.sha256(b"short" + hashlib.sha256(STATEMENT).digest()).digest()
    signature = phone.key.sign(nonce, ec.ECDSA(hashes.SHA256()))
    whole = cbor2.dumps({"signature": signature, "authenticatorData": b"short"})
    assert refused(phone, {"assertion": base64url_encode(whole)}) == "malformed_evidence"
