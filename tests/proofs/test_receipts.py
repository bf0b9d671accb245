from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from keyturn.domain.encodings import new_secret
from keyturn.domain.errors import InvalidRequest
from keyturn.proofs.receipts import AckStatement, receipt_key, sign_receipt, verify_receipt

SECRET = new_secret(bytes(range(32)))
ACK = AckStatement(
    rotation_id="01JD0000000000000000000001",
    client_id="acme",
    version_id="01JD0000000000000000000002",
    ack_by="alice",
    ack_at=1_763_712_000_000,
    secret_hash="aGFzaA",
    mac_key_ref="projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
)
IDS = {"client_id": ACK.client_id, "version_id": ACK.version_id, "rotation_id": ACK.rotation_id}
KEY = receipt_key(SECRET, **IDS)


def prefixed(*fields: str) -> bytes:
    return b"".join(len(field.encode()).to_bytes(4, "big") + field.encode() for field in fields)


def test_the_key_is_what_protocol_8_says() -> None:
    # HKDF-SHA-256 by hand (RFC 5869 §2.2, §2.3): empty salt, one block.
    extracted = hmac.digest(b"", SECRET.encode(), "sha256")
    info = prefixed("nip-kr/receipt/v1", ACK.client_id, ACK.version_id, ACK.rotation_id)
    seed = hmac.digest(extracted, info + b"\x01", hashlib.sha256)
    assert Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw() == KEY
    assert len(KEY) == 32


def test_the_signed_bytes_are_what_protocol_8_says() -> None:
    fields = (
        ACK.rotation_id,
        ACK.client_id,
        ACK.version_id,
        ACK.ack_by,
        "1763712000000",
        ACK.secret_hash,
        ACK.mac_key_ref,
    )
    assert ACK.signed_bytes() == prefixed("nip-kr/ack/v1", *fields)


def test_a_receipt_verifies_and_is_canonical_base64url() -> None:
    receipt = sign_receipt(SECRET, ACK)
    assert len(receipt) == 86
    assert verify_receipt(KEY, receipt, ACK)


OTHER_ACKS: dict[str, dict[str, Any]] = {
    "rotation": {"rotation_id": "01JD0000000000000000000009"},
    "client": {"client_id": "acme2"},
    "version": {"version_id": "01JD0000000000000000000009"},
    "person": {"ack_by": "bob"},
    "time": {"ack_at": ACK.ack_at + 1},
    "hash": {"secret_hash": "aGFzaB"},
    "key": {"mac_key_ref": ACK.mac_key_ref[:-1] + "2"},
    "moved border": {"ack_by": "alice1", "ack_at": int(str(ACK.ack_at)[1:])},
    "no text": {"ack_by": "\ud800"},
}


@pytest.mark.parametrize("changes", OTHER_ACKS.values(), ids=OTHER_ACKS.keys())
def test_a_receipt_is_for_one_ack(changes: dict[str, Any]) -> None:
    assert not verify_receipt(KEY, sign_receipt(SECRET, ACK), replace(ACK, **changes))


@pytest.mark.parametrize("name", IDS)
def test_a_key_is_for_one_rotation(name: str) -> None:
    assert receipt_key(SECRET, **{**IDS, name: "other"}) != KEY


def test_a_receipt_of_another_secret_is_refused() -> None:
    assert not verify_receipt(KEY, sign_receipt(new_secret(bytes(32)), ACK), ACK)


RECEIPT = sign_receipt(SECRET, ACK)
FORMS = {
    "nothing": "",
    "padded": RECEIPT + "==",
    "cut short": RECEIPT[:-2],
    "longer": RECEIPT + "AA",
    "standard base64": base64.b64encode(bytes(64)).decode(),
    "trailing bits": RECEIPT[:-1] + ("B" if RECEIPT[-1] in "AQgw" else "A"),
    "not ASCII": "é" * 86,
    "no text": "\ud800" * 86,
}


@pytest.mark.parametrize("receipt", FORMS.values(), ids=FORMS.keys())
def test_a_malformed_receipt_is_just_wrong(receipt: str) -> None:
    assert not verify_receipt(KEY, receipt, ACK)


def test_a_secret_that_is_no_text_is_not_in_the_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        receipt_key("canary\ud800", **IDS)
    assert "canary" not in f"{caught.value!r} {caught.value.__context__!r}"


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 511))
def test_no_flipped_bit_verifies(place: int) -> None:
    data = bytearray(base64.urlsafe_b64decode(RECEIPT + "=="))
    data[place // 8] ^= 1 << place % 8
    assert not verify_receipt(KEY, base64.urlsafe_b64encode(bytes(data)).decode().rstrip("="), ACK)


@settings(max_examples=60, deadline=None)
@given(presented=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_only_the_secret_itself_has_its_key(presented: str) -> None:
    assert (receipt_key(presented, **IDS) == KEY) == (presented == SECRET)
