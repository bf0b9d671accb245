"""An Apple phone in software: it attests its key and asserts statements as App Attest does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from keyturn.adapters.attestation.app_attest import FORMAT, PRODUCTION, AppAttestation
from keyturn.adapters.attestation.apple_certificates import NONCE_EXTENSION
from keyturn.domain.encodings import base64url_encode

from tests.adapters.attestation.authorities import NOW, YEAR, Authority, root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.attestation import DeviceKey


APP = "TEAM123456.com.example.keyturn"
STATEMENT = b"what the device is asked to assert"
ROOT = root("Test App Attestation Root CA")
INTERMEDIATE = ROOT.intermediate("Test App Attestation CA 1")
KIND = AppAttestation(ROOT.certificate, frozenset({APP}))


@dataclass
class Phone:
    """A device with a Secure Enclave, as far as a server can see."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    app: str = APP
    counter: int = 0

    @property
    def key_id(self) -> bytes:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return hashlib.sha256(point).digest()

    def registration(self, statement: bytes = STATEMENT, **changes: Any) -> dict[str, object]:  # noqa: ANN401 - parts of very different kinds
        """Return the evidence of a registration; `changes` are to its parts, by name."""
        key_id, issuer = changes.get("key_id", self.key_id), changes.get("issuer", INTERMEDIATE)
        head = hashlib.sha256(self.app.encode()).digest() + b"\x40" + changes.get("counter", 0).to_bytes(4, "big")
        attested = changes.get("aaguid", PRODUCTION) + len(key_id).to_bytes(2, "big") + key_id
        data = head + attested + cbor2.dumps({1: 2, 3: -7})
        leaf = self.leaf(issuer, data, statement, changes)
        chain = changes.get("chain", [leaf, issuer.der])
        x5c = [leaf if part == "leaf" else part for part in chain]
        statement_map = {"x5c": x5c, "receipt": b"a receipt"}
        whole = {"fmt": changes.get("fmt", FORMAT), "attStmt": statement_map, "authData": changes.get("data", data)}
        claimed = changes.get("claimed", self.key_id)
        return {"attestation": base64url_encode(cbor2.dumps(whole)), "key_id": base64url_encode(claimed)}

    def leaf(self, issuer: Authority, data: bytes, statement: bytes, changes: Mapping[str, Any]) -> bytes:
        nonce = hashlib.sha256(data + hashlib.sha256(statement).digest()).digest()
        encoded = changes.get("extension", bytes.fromhex("3024a1220420") + nonce)
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(NONCE_EXTENSION), encoded)
        key, ends = changes.get("certified", self.key.public_key()), changes.get("ends", NOW + YEAR)
        extensions = [(extension, False)] if encoded else []
        return issuer.issue(self.key_id.hex()[:60], key, extensions, ends=ends).public_bytes(Encoding.DER)

    def assertion(self, statement: bytes = STATEMENT, by: Phone | None = None) -> dict[str, object]:
        """Return the evidence of an assertion; its counter has risen."""
        self.counter += 1
        data = hashlib.sha256(self.app.encode()).digest() + b"\x00" + self.counter.to_bytes(4, "big")
        nonce = hashlib.sha256(data + hashlib.sha256(statement).digest()).digest()
        signature = (by or self).key.sign(nonce, ec.ECDSA(hashes.SHA256()))
        return {"assertion": base64url_encode(cbor2.dumps({"signature": signature, "authenticatorData": data}))}


def registered(phone: Phone) -> DeviceKey:
    return KIND.register(phone.registration(), STATEMENT, NOW)
