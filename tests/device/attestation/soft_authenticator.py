"""A security key in memory, as CTAP 2.1 has it: credentials under a maker's certificate, that verify their holder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fido2 import cbor
from fido2.ctap import STATUS, CtapDevice, CtapError
from fido2.ctap2.pin import PinProtocolV2
from fido2.hid import CAPABILITY
from keyturn.adapters.attestation.security_key import AAGUID_EXTENSION

from tests.adapters.attestation.authorities import root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

MAKER = root("Test Key Maker")
MODEL = bytes(range(16))
_MAKE, _INFO, _PIN = 0x01, 0x04, 0x06
_GET_AGREEMENT = 0x02
_PROTOCOL: Any = PinProtocolV2()  # the library gives its methods no types
_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


def attestation_leaf(key: ec.EllipticCurvePublicKey) -> bytes:
    model = x509.UnrecognizedExtension(x509.ObjectIdentifier(AAGUID_EXTENSION), b"\x04\x10" + MODEL)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (model, False),
    ]
    return MAKER.issue("a model", key, extensions).public_bytes(Encoding.DER)


def _cose(key: ec.EllipticCurvePrivateKey) -> dict[int, Any]:
    point = key.public_key().public_numbers()
    return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}


@dataclass
class SoftAuthenticator(CtapDevice):
    """Answers CTAP2 commands; `refuses_with` is a status for the next one that wants its holder."""

    credentials: dict[bytes, tuple[str, ec.EllipticCurvePrivateKey]] = field(default_factory=dict)
    """Each is for one domain, and answers at no other."""
    counter: int = 0
    touched: int = 0
    verifies: bool = True
    """By itself, as a fingerprint reader does."""
    pin: str | None = None
    """By this PIN, where it does not by itself."""
    agreement: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    token: bytes = field(default_factory=lambda: os.urandom(32))
    refuses_with: CtapError.ERR | None = None

    @property
    def capabilities(self) -> int:
        return int(CAPABILITY.CBOR)

    @classmethod
    def list_devices(cls) -> Iterator[SoftAuthenticator]:
        yield cls()

    def call(
        self,
        cmd: int,  # noqa: ARG002 - all commands here are CBOR
        data: bytes = b"",
        event: Event | None = None,  # noqa: ARG002 - nobody cancels
        on_keepalive: Callable[[STATUS], None] | None = None,
    ) -> bytes:
        fields: Any = cbor.decode(data[1:]) if data[1:] else {}
        try:
            answer = self._answer(data[0], fields, on_keepalive)
        except CtapError as refused:
            return bytes([int(refused.code)])
        return b"\0" + cbor.encode(answer)

    def _answer(
        self, command: int, fields: Mapping[int, Any], on_keepalive: Callable[[STATUS], None] | None
    ) -> dict[int, Any]:
        if command == _INFO:
            means = {"clientPin": True} if self.pin else {"uv": True} if self.verifies else {}
            return {1: ["FIDO_2_0"], 3: MODEL, 4: {"rk": False, "up": True, **means}, 6: [2]}
        if command == _PIN:
            return self._client_pin(fields)
        held = command == _MAKE or fields.get(5, {}).get("up", True)
        if held:
            self._verify(*(fields.get(place) for place in ((1, 8) if command == _MAKE else (2, 6))))
            self._hold(on_keepalive)
        return self._make(fields) if command == _MAKE else self._assert(fields, held=held)

    def _client_pin(self, fields: Mapping[int, Any]) -> dict[int, Any]:
        if fields[2] == _GET_AGREEMENT:
            return {1: {**_cose(self.agreement), 3: -25}}
        theirs = ec.EllipticCurvePublicNumbers(
            int.from_bytes(fields[3][-2]), int.from_bytes(fields[3][-3]), ec.SECP256R1()
        )
        shared = _PROTOCOL.kdf(self.agreement.exchange(ec.ECDH(), theirs.public_key()))
        if _PROTOCOL.decrypt(shared, fields[6]) != hashlib.sha256(str(self.pin).encode()).digest()[:16]:
            raise CtapError(CtapError.ERR.PIN_INVALID)
        return {2: _PROTOCOL.encrypt(shared, self.token)}

    def _verify(self, client_data: bytes | None, shown: bytes | None) -> None:
        if self.pin and shown != _PROTOCOL.authenticate(self.token, client_data or b""):
            raise CtapError(CtapError.ERR.PIN_AUTH_INVALID)

    def _hold(self, on_keepalive: Callable[[STATUS], None] | None) -> None:
        if self.refuses_with is not None:
            raise CtapError(self.refuses_with)
        self.touched += 1
        if on_keepalive:
            on_keepalive(STATUS.UPNEEDED)

    def _make(self, fields: Mapping[int, Any]) -> dict[int, Any]:
        name, key = os.urandom(32), ec.generate_private_key(ec.SECP256R1())
        self.credentials[name] = (fields[2]["id"], key)
        head = self._head(fields[2]["id"], _PRESENT | _VERIFIED | _ATTESTED)
        data = head + MODEL + len(name).to_bytes(2, "big") + name + cbor.encode(_cose(key))
        maker = ec.generate_private_key(ec.SECP256R1())
        signature = maker.sign(data + fields[1], ec.ECDSA(hashes.SHA256()))
        statement = {"alg": -7, "sig": signature, "x5c": [attestation_leaf(maker.public_key())]}
        return {1: "packed", 2: data, 3: statement}

    def _assert(self, fields: Mapping[int, Any], *, held: bool) -> dict[int, Any]:
        known = [name for name, (domain, _) in self.credentials.items() if domain == fields[1]]
        wanted = next((item["id"] for item in fields.get(3, ()) if item["id"] in known), None)
        if wanted is None:
            raise CtapError(CtapError.ERR.NO_CREDENTIALS)
        self.counter += held
        data = self._head(fields[1], (_PRESENT | _VERIFIED) if held else 0)
        signature = self.credentials[wanted][1].sign(data + fields[2], ec.ECDSA(hashes.SHA256()))
        return {1: {"type": "public-key", "id": wanted}, 2: data, 3: signature}

    def _head(self, domain: str, flags: int) -> bytes:
        return hashlib.sha256(domain.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")
