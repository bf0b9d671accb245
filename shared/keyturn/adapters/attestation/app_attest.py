"""Apple App Attest as device attestation (Apple, "Validating apps that connect to your server").

Registration: a CBOR attestation object. Its certificates must chain to the configured root, its nonce must cover the
authenticator data and the statement, its key id must be the hash of the public key, it must come from one of our apps,
and its counter must be 0.
Assertion: a CBOR map of a signature over the same kind of nonce and of authenticator data. The counter must have risen.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.adapters.attestation.apple_certificates import key_of, public_point, require_nonce, trusted_leaf
from keyturn.adapters.attestation.evidence import octets, require
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused, DeviceKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cryptography.x509 import Certificate

NAME = "app_attest"
FORMAT = "apple-appattest"
PRODUCTION = b"appattest" + bytes(7)
DEVELOPMENT = b"appattestdevelop"
_ASSERTED_BYTES = 37
_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class AuthenticatorData:
    """Authenticator data (WebAuthn §6.1) as App Attest uses it. In assertions `aaguid` and `key_id` are empty."""

    app_hash: bytes
    counter: int
    aaguid: bytes
    key_id: bytes


def read_authenticator_data(data: bytes) -> AuthenticatorData:
    """Split authenticator data into its parts. `AttestationRefused` if the lengths don't fit."""
    require(len(data) >= _ASSERTED_BYTES, "malformed_evidence")
    # WebAuthn §6.1: 32 hash, 1 flags, 4 counter. Attested data follow: 16 AAGUID, 2 length of the id, the id.
    length = int.from_bytes(data[53:55], "big")
    require(len(data) == _ASSERTED_BYTES or len(data) >= 55 + length, "malformed_evidence")
    return AuthenticatorData(data[:32], int.from_bytes(data[33:37], "big"), data[37:53], data[55 : 55 + length])


@dataclass(frozen=True, slots=True)
class AppAttestation:
    """Implements `Attestation`. `root` is Apple's App Attest root, `app_ids` are `<team>.<bundle>`.

    `aaguid` is the Apple environment that the apps run in. The evidence of a registration is `attestation` and
    `key_id`, that of a check is `assertion`. All are base64url.
    """

    root: Certificate = field(repr=False)
    app_ids: frozenset[str]
    aaguid: bytes = PRODUCTION
    kind: str = NAME
    amr: str = NAME

    def register(self, evidence: Mapping[str, object], statement: bytes, now: datetime) -> DeviceKey:
        """Return the key that Apple's certificate attests."""
        chain, data = _attestation_object(octets(evidence, "attestation"))
        leaf = trusted_leaf(chain, self.root, now)
        require_nonce(leaf, _nonce(data, statement))
        point = public_point(leaf)
        self._require_new_key(read_authenticator_data(data), hashlib.sha256(point).digest(), octets(evidence, "key_id"))
        return DeviceKey(NAME, base64url_encode(hashlib.sha256(point).digest()), point)

    def check(self, evidence: Mapping[str, object], statement: bytes, device: DeviceKey, now: datetime) -> int:  # noqa: ARG002 - an assertion has no time
        """Return the new counter if the device's key signed the statement."""
        assertion = _decode(octets(evidence, "assertion"))
        data, signature = _octets(assertion, "authenticatorData"), _octets(assertion, "signature")
        _verify(device.public_key, signature, _nonce(data, statement))
        authenticator = read_authenticator_data(data)
        self._require_app(authenticator)
        # A counter that does not rise means a replayed assertion or a copied key.
        require(authenticator.counter > device.counter, "counter_not_risen")
        return authenticator.counter

    def _require_new_key(self, data: AuthenticatorData, key_id: bytes, claimed: bytes) -> None:
        self._require_app(data)
        # The id stands in three places. All must agree, or an attested key could be registered under another id.
        require(hmac.compare_digest(data.key_id, key_id) and hmac.compare_digest(claimed, key_id), "wrong_key_id")
        # Apple attests development builds in an environment of their own. They must not count in production.
        require(data.aaguid == self.aaguid, "wrong_environment")
        require(data.counter == 0, "counter_not_zero")

    def _require_app(self, data: AuthenticatorData) -> None:
        hashes = [hashlib.sha256(app.encode("utf-8")).digest() for app in self.app_ids]
        require(data.app_hash in hashes, "wrong_app")


def _attestation_object(data: bytes) -> tuple[Sequence[bytes], bytes]:
    attestation = _decode(data)
    statement = attestation.get("attStmt")
    chain = statement.get("x5c") if isinstance(statement, dict) else None
    require(attestation.get("fmt") == FORMAT, "wrong_format")
    if not isinstance(chain, list) or not all(isinstance(item, bytes) for item in chain):
        raise AttestationRefused("malformed_evidence")
    authenticator_data = _octets(attestation, "authData")
    require(len(authenticator_data) >= _ASSERTED_BYTES + 18 + _ID_BYTES, "malformed_evidence")
    return chain, authenticator_data


def _decode(data: bytes) -> Mapping[str, object]:
    import cbor2  # noqa: PLC0415 - nothing heavy at import time

    try:
        value = cbor2.loads(data)
    except (cbor2.CBORDecodeError, RecursionError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise AttestationRefused("malformed_evidence")
    return value


def _octets(cbor: Mapping[str, object], name: str) -> bytes:
    value = cbor.get(name)
    if not isinstance(value, bytes):
        raise AttestationRefused("malformed_evidence")
    return value


def _nonce(data: bytes, statement: bytes) -> bytes:
    return hashlib.sha256(data + hashlib.sha256(statement).digest()).digest()


def _verify(point: bytes, signature: bytes, nonce: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - nothing heavy at import time
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415 - the same
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - the same

    try:
        key_of(point).verify(signature, nonce, ECDSA(SHA256()))
    except InvalidSignature:
        raise AttestationRefused("bad_signature") from None
