from __future__ import annotations

from dataclasses import fields, replace

import pytest
from keyturn.domain.encodings import base64url_decode, base64url_encode
from keyturn.domain.errors import InvalidRequest
from keyturn.proofs.canaries import Canary, verify_canary
from keyturn.proofs.receipts import AckStatement, _signer, receipt_key, sign_receipt

SECRET = "b" * 43
IDS = {"client_id": "acme", "version_id": "01J00000000000000000000001", "rotation_id": "01J00000000000000000000002"}
CANARY = Canary(**IDS, instance_id="pod-1", nonce="bm9uY2U")
KEY = receipt_key(SECRET, **IDS)


def signed(canary: Canary, secret: str = SECRET) -> str:
    return base64url_encode(_signer(secret, **IDS).sign(canary.signed_bytes()))


def test_the_signed_bytes_are_those_of_the_protocol() -> None:
    texts = ("nip-kr/canary/v1", IDS["rotation_id"], "acme", IDS["version_id"], "pod-1", "bm9uY2U")
    assert CANARY.signed_bytes() == b"".join(len(text).to_bytes(4, "big") + text.encode() for text in texts)


def test_only_the_holder_of_the_secret_can_prove_it() -> None:
    assert verify_canary(KEY, signed(CANARY), CANARY)
    assert not verify_canary(KEY, signed(CANARY, "c" * 43), CANARY)


@pytest.mark.parametrize("name", [item.name for item in fields(Canary)])
def test_a_canary_is_for_exactly_what_was_signed(name: str) -> None:
    assert not verify_canary(KEY, signed(CANARY), replace(CANARY, **{name: "other"}))


@pytest.mark.parametrize("signature", ["", "AAAA", "!", "A" * 86, "A" * 4000])
def test_what_is_no_signature_proves_nothing(signature: str) -> None:
    assert not verify_canary(KEY, signature, CANARY)


def test_a_field_that_is_no_text_proves_nothing() -> None:
    assert not verify_canary(KEY, signed(CANARY), replace(CANARY, instance_id="\ud800"))


def test_no_receipt_stands_for_a_canary() -> None:
    ack = AckStatement(**IDS, ack_by="pod-1", ack_at=1, secret_hash="h", mac_key_ref="bm9uY2U")
    assert not verify_canary(KEY, sign_receipt(SECRET, ack), CANARY)
    assert base64url_decode(sign_receipt(SECRET, ack))
    with pytest.raises(InvalidRequest):
        replace(CANARY, nonce="\udfff").signed_bytes()
