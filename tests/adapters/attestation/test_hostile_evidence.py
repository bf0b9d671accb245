"""Whatever is presented as evidence, the answer is a refusal: no other error, which would be an opaque 500."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from keyturn.domain.encodings import base64url_decode, base64url_encode
from keyturn.ports.attestation import AttestationRefused, DeviceKey
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jws import read_unverified

from tests.adapters.attestation import apple_phone as apple
from tests.adapters.attestation import webauthn_key as webauthn
from tests.adapters.attestation.authorities import NOW

if TYPE_CHECKING:
    from keyturn.ports.attestation import Attestation

PHONE, KEY = apple.Phone(), webauthn.SecurityKey()
PHONE_DEVICE, KEY_DEVICE = apple.registered(PHONE), webauthn.registered(KEY)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
MAPS: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.sampled_from(["fmt", "attStmt", "authData", "x5c", "signature", "authenticatorData"]),
    st.binary(max_size=120) | st.sampled_from(["apple-appattest", {"x5c": [b"x"]}, {"x5c": []}, 1, None, [b""]]),
    max_size=4,
)


def encoded(value: object) -> str:
    return base64url_encode(json.dumps(value).encode())


def refused(kind: Attestation, device: DeviceKey, evidence: dict[str, object]) -> None:
    for judge in (
        lambda: kind.register(evidence, b"a statement", NOW),
        lambda: kind.check(evidence, b"a statement", device, NOW),
    ):
        with contextlib.suppress(AttestationRefused):
            judge()
            raise AssertionError("nothing of this is evidence")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | MAPS.map(cbor2.dumps))
def test_app_attest_refuses_any_bytes(data: bytes) -> None:
    text = base64url_encode(data)
    refused(apple.KIND, PHONE_DEVICE, {"attestation": text, "key_id": text[:4], "assertion": text})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2000), st.integers(1, 255))
def test_one_changed_byte_undoes_an_assertion(place: int, change: int) -> None:
    assertion = str(PHONE.assertion(b"a statement")["assertion"])
    data = bytearray(cbor2.loads(base64url_decode(assertion))["authenticatorData"])
    data[place % len(data)] ^= change
    whole = {**cbor2.loads(base64url_decode(assertion)), "authenticatorData": bytes(data)}
    refused(apple.KIND, PHONE_DEVICE, {"assertion": base64url_encode(cbor2.dumps(whole))})


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from(["whole", "response", "id", "rawId", "type", "attestationObject", "clientDataJSON"]))
def test_webauthn_refuses_any_json(value: object, place: str) -> None:
    for honest in (KEY.registration(), KEY.assertion()):
        credential = json.loads(json.dumps(honest["credential"]))
        if place in credential:
            credential[place] = value
        elif place in credential["response"]:
            credential["response"][place] = value
        refused(webauthn.KIND, KEY_DEVICE, {"credential": value if place == "whole" else credential})


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.lists(JSON.map(encoded), min_size=3, max_size=3).map(".".join))
def test_any_text_for_a_token_is_a_refusal(text: str) -> None:
    with contextlib.suppress(ProofError):
        read_unverified(text)
        raise AssertionError("nothing of this is a token")
