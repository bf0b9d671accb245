"""Receipts: an acknowledging admin proves possession of exactly the rotation's secret (docs/protocol.md §8).

A signing key is derived from the secret. The service stores only its public half, so it can verify a receipt but never
create one.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyturn.domain.encodings import base64url_decode, base64url_encode, length_prefixed
from keyturn.domain.errors import InvalidRequest

# Different labels: a signature for one purpose is never valid for another.
_KEY_LABEL = "nip-kr/receipt/v1"
_ACK_LABEL = "nip-kr/ack/v1"
_LEAK_LABEL = "keyturn/sighting/v1"
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class AckStatement:
    """The statement that a receipt signs: a rotate-ack without the receipt. `ack_at` is in Unix milliseconds."""

    rotation_id: str
    client_id: str
    version_id: str
    ack_by: str
    ack_at: int
    secret_hash: str
    mac_key_ref: str

    def signed_bytes(self) -> bytes:
        """Return LP("nip-kr/ack/v1", …), the time in decimal digits."""
        ids = (self.rotation_id, self.client_id, self.version_id, self.ack_by)
        return length_prefixed(_ACK_LABEL, *ids, str(self.ack_at), self.secret_hash, self.mac_key_ref)


@dataclass(frozen=True, slots=True)
class LeakReport:
    """The report of a leaked secret: its version, and the id of the rotation that will replace it.

    `made_by` is the rotation that created the version. `sighted_at` is in Unix milliseconds.
    """

    client_id: str
    version_id: str
    made_by: str
    replaced_by: str
    sighted_at: int

    def signed_bytes(self) -> bytes:
        """Return LP("keyturn/sighting/v1", …), the time in decimal digits."""
        ids = (self.client_id, self.version_id, self.made_by, self.replaced_by)
        return length_prefixed(_LEAK_LABEL, *ids, str(self.sighted_at))


def receipt_key(secret: str, *, client_id: str, version_id: str, rotation_id: str) -> bytes:
    """Return the Ed25519 public key (`bytes, 32`) that verifies receipts of this secret in this rotation."""
    return _signer(secret, client_id, version_id, rotation_id).public_key().public_bytes_raw()


def sign_receipt(secret: str, ack: AckStatement) -> str:
    """Return a receipt: base64url of a 64-byte signature. It needs the secret."""
    return base64url_encode(_signer(secret, ack.client_id, ack.version_id, ack.rotation_id).sign(ack.signed_bytes()))


def verify_receipt(receipt_key: bytes, receipt: str, ack: AckStatement) -> bool:
    """Return whether a receipt is of exactly this acknowledgement. `receipt_key` is `bytes, 32`."""
    return _verify(receipt_key, receipt, ack)


def sign_leak_report(secret: str, report: LeakReport) -> str:
    """Return the signature of a report: base64url of 64 bytes. It needs the leaked secret, and does not reveal it."""
    signer = _signer(secret, report.client_id, report.version_id, report.made_by)
    return base64url_encode(signer.sign(report.signed_bytes()))


def verify_leak_report(receipt_key: bytes, signature: str, report: LeakReport) -> bool:
    """Return whether a signature is of exactly this report. `receipt_key` is `bytes, 32`."""
    return _verify(receipt_key, signature, report)


def _verify(receipt_key: bytes, signature: str, statement: AckStatement | LeakReport) -> bool:
    key = Ed25519PublicKey.from_public_bytes(receipt_key)
    try:
        key.verify(base64url_decode(signature), statement.signed_bytes())
    except (InvalidSignature, InvalidRequest, UnicodeEncodeError):  # the last: a field is not Unicode
        return False
    return True


def _signer(secret: str, client_id: str, version_id: str, rotation_id: str) -> Ed25519PrivateKey:
    if any("\ud800" <= character <= "\udfff" for character in secret):
        # The codec's own exception would contain the whole secret.
        raise InvalidRequest("bad_secret", "A secret is not valid Unicode.")
    info = length_prefixed(_KEY_LABEL, client_id, version_id, rotation_id)
    # RFC 5869 §2.2: no salt stands for a string of zeros, which gives the same result as an empty salt under HMAC.
    seed = HKDF(algorithm=SHA256(), length=_SEED_BYTES, salt=None, info=info).derive(secret.encode("utf-8"))
    return Ed25519PrivateKey.from_private_bytes(seed)
