"""App Check tokens as Firebase makes them, signed by a key set of the test's own."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
from keyturn.adapters.attestation.app_check import ISSUER, AppCheckAttestation
from keyturn.adapters.authorisation.jwks import TrustedKeys
from keyturn.domain.errors import Unavailable
from keyturn.ports.attestation import AttestationRefused, DeviceKey

from tests.adapters.attestation.app_check_tokens import APP, DEVICE, KIND, OTHER, PROJECT, by_hmac, claims, token
from tests.adapters.attestation.authorities import NOW


def test_a_token_of_one_of_our_apps_is_registered_and_checked() -> None:
    assert KIND.register({"token": token()}, b"", NOW) == DEVICE
    assert KIND.check({"token": token()}, b"", DEVICE, NOW) == 0
    assert KIND.amr == "app_attest"


TOKENS: dict[str, tuple[object, str]] = {
    "none": (None, "malformed_evidence"),
    "junk": ("junk", "malformed_token"),
    "of another key": (token(OTHER), "bad_signature"),
    "of an unknown key id": (token(kid="two"), "unknown_key"),
    "of another type": (token(typ="at+jwt"), "wrong_token_type"),
    "unsigned": (jwt.encode(dict(claims()), "", "none", {"kid": "one", "typ": "JWT"}), "wrong_token_type"),
    "of another issuer": (token(iss="https://other.example/1234567890"), "wrong_issuer"),
    "of another project's issuer": (token(iss=f"{ISSUER}999"), "wrong_issuer"),
    "for another project": (token(aud=["projects/999"]), "wrong_audience"),
    "for a project as text": (token(aud=f"projects/{PROJECT}"), "wrong_audience"),
    "of another app": (token(sub="1:1234567890:web:fedcba"), "wrong_app"),
    "of no app": (token(sub=""), "wrong_app"),
    "that expired": (token(exp=int(NOW.timestamp()) - 10), "wrong_time"),
    "from the future": (token(iat=int(NOW.timestamp()) + 60), "wrong_time"),
    "without an end": (token(exp=None), "wrong_time"),
}


@pytest.mark.parametrize(("presented", "reason"), TOKENS.values(), ids=TOKENS)
def test_token_is_refused(presented: object, reason: str) -> None:
    with pytest.raises(AttestationRefused) as refusal:
        KIND.check({"token": presented}, b"", DEVICE, NOW)
    assert str(refusal.value) == reason


def test_the_public_key_is_no_hmac_key() -> None:
    with pytest.raises(AttestationRefused) as refusal:
        KIND.check({"token": by_hmac()}, b"", DEVICE, NOW)
    assert str(refusal.value) == "wrong_token_type"


def test_a_token_of_another_app_of_ours_is_not_the_registered_one() -> None:
    with pytest.raises(AttestationRefused) as refusal:
        KIND.check({"token": token()}, b"", DeviceKey("app_check", "another app", b""), NOW)
    assert str(refusal.value) == "wrong_app"


def test_without_keys_nothing_is_judged() -> None:
    def down() -> bytes:
        raise OSError

    kind = AppCheckAttestation(TrustedKeys(down, lambda: 0.0), PROJECT, frozenset({APP}))
    with pytest.raises(Unavailable):
        kind.check({"token": token()}, b"", DEVICE, NOW + timedelta(seconds=1))
