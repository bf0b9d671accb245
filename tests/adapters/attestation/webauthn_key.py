"""A WebAuthn security key in software: registrations and assertions."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from keyturn.adapters.attestation.security_key import AAGUID_EXTENSION, SecurityKeyAttestation
from keyturn.domain.encodings import base64url_encode

from tests.adapters.attestation.authorities import NOW, Authority, root

if TYPE_CHECKING:
    from keyturn.ports.attestation import DeviceKey

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
