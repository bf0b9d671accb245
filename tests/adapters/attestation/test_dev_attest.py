from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused

from tests.adapters.attestation.authorities import NOW

KIND, KEY, OTHER = DevAttestation(), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def evidence(key: Ed25519PrivateKey = KEY, by: Ed25519PrivateKey = KEY, over: bytes = b"this") -> dict[str, object]:
    public_key = key.public_key().public_bytes_raw()
    return {"public_key": base64url_encode(public_key), "signature": base64url_encode(by.sign(over))}


def test_it_says_what_it_is_in_kind_and_in_amr() -> None:
    device = KIND.register(evidence(), b"this", NOW)
    assert (device.kind, KIND.amr) == ("dev_attest", "dev_attest")
    assert KIND.check(evidence(over=b"that"), b"that", device, NOW) == 0


@pytest.mark.parametrize(
    "presented",
    [
        evidence(by=OTHER),
        evidence(over=b"that"),
        {**evidence(), "public_key": "AA"},
        {**evidence(), "signature": ""},
        {},
    ],
    ids=["another key's signature", "another statement", "short key", "no signature", "nothing"],
)
def test_registration_is_refused(presented: dict[str, object]) -> None:
    with pytest.raises(AttestationRefused):
        KIND.register(presented, b"this", NOW)


def test_an_assertion_of_another_device_is_refused() -> None:
    device = KIND.register(evidence(), b"this", NOW)
    with pytest.raises(AttestationRefused):
        KIND.check(evidence(OTHER, OTHER), b"this", device, NOW)
