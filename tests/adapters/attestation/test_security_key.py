"""WebAuthn with an authenticator of the test's own, built as the specification says (§6.5, §8.2)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from keyturn.adapters.attestation.security_key import AAGUID_EXTENSION, SecurityKeyAttestation, read_roots
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused, DeviceKey

from tests.adapters.attestation.authorities import NOW, Authority, root

if TYPE_CHECKING:
    from pathlib import Path

RP, ORIGIN, MODEL = "keyturn.example", "https://admin.keyturn.example", bytes(range(16))
STATEMENT = b"what the key is asked to assert"
ROOT = root("Test Key Maker")
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
KIND = SecurityKeyAttestation(RP, (ORIGIN,), {"packed": [ROOT.pem]})


@dataclass
class SecurityKey:
    """An authenticator; `flags` say whether somebody is present and verified."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    flags: int = PRESENT | VERIFIED
    rp: str = RP
    origin: str = ORIGIN
    counter: int = 0

    def registration(self, maker: Authority | None = ROOT, model: bytes = MODEL, fmt: str = "packed") -> dict[str, Any]:
        client = self.client_data("webauthn.create")
        data = self.head(self.flags | ATTESTED) + MODEL + len(self.credential_id).to_bytes(2, "big")
        data += self.credential_id + self.cose()
        statement: dict[str, Any] = {"alg": -7}
        signer = self.key
        if maker:
            signer = ec.generate_private_key(ec.SECP256R1())
            statement["x5c"] = [leaf(maker, signer.public_key(), model)]
        statement["sig"] = signer.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        whole = {"fmt": fmt, "attStmt": {} if fmt == "none" else statement, "authData": data}
        return self.credential({"attestationObject": base64url_encode(cbor2.dumps(whole))}, client)

    def assertion(self, statement: bytes = STATEMENT, by: ec.EllipticCurvePrivateKey | None = None) -> dict[str, Any]:
        self.counter += 1
        client, data = self.client_data("webauthn.get", statement), self.head(self.flags)
        signature = (by or self.key).sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        fields = {"authenticatorData": base64url_encode(data), "signature": base64url_encode(signature)}
        return self.credential(fields, client)

    def head(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")

    def cose(self) -> bytes:
        point = self.key.public_key().public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})

    def client_data(self, kind: str, statement: bytes = STATEMENT) -> bytes:
        challenge = base64url_encode(hashlib.sha256(statement).digest())
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def credential(self, response: dict[str, Any], client: bytes) -> dict[str, Any]:
        name = base64url_encode(self.credential_id)
        response = {**response, "clientDataJSON": base64url_encode(client)}
        return {"credential": {"id": name, "rawId": name, "type": "public-key", "response": response}}


def leaf(maker: Authority, key: ec.EllipticCurvePublicKey, model: bytes) -> bytes:
    named = x509.UnrecognizedExtension(x509.ObjectIdentifier(AAGUID_EXTENSION), b"\x04\x10" + model)
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=False, path_length=None), True)]
    return maker.issue("a model", key, [*extensions, (named, False)]).public_bytes(Encoding.DER)


def registered(key: SecurityKey) -> DeviceKey:
    return KIND.register(key.registration(), STATEMENT, NOW)


def test_a_key_whose_maker_is_trusted_is_registered_and_asserts_itself() -> None:
    key = SecurityKey()
    device = registered(key)
    assert (device.kind, device.device_id) == ("webauthn", base64url_encode(key.credential_id))
    assert KIND.check(key.assertion(), STATEMENT, device, NOW) == 1


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
