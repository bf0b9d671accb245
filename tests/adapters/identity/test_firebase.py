"""Firebase ID tokens through the real admin SDK: its network is answered by the test, its checks are its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import firebase_admin  # type: ignore[import-untyped]  # the SDK has no types
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from google.auth.credentials import AnonymousCredentials
from keyturn.adapters.identity.firebase import EMULATOR_VARIABLE, FirebaseIdentity
from keyturn.domain.errors import Unavailable
from keyturn.ports.identity import IdentityRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = "keyturn-test"
KEY, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
NOW = datetime.now(UTC)


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "securetoken")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


class Credential(firebase_admin.credentials.Base):  # type: ignore[misc]  # the SDK has no types
    def get_credential(self) -> AnonymousCredentials:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]  # the library has no types


class Google:
    """The two services that the SDK asks: certificates, and what an account is like now."""

    def __init__(self) -> None:
        self.up = True
        self.account: dict[str, Any] | None = {"localId": "uid-alice"}

    def certificates(self, url: str, method: str = "GET", **_options: object) -> Any:  # noqa: ANN401 - the transport's own type
        if not self.up:
            raise google_error()
        assert (method, url.startswith("https://")) == ("GET", True)
        return Answer(json.dumps({"one": certificate()}))

    def account_answer(self, *_args: object, **_options: object) -> tuple[dict[str, Any], object]:
        users = [self.account] if self.account else []
        return {"users": users}, None


class Answer:
    status = 200

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.headers: dict[str, str] = {}


def google_error() -> Exception:
    from google.auth.exceptions import TransportError

    return TransportError("down")  # type: ignore[no-untyped-call]  # the library has no types


@pytest.fixture
def google() -> Google:
    return Google()


@pytest.fixture
def identity(google: Google) -> Iterator[FirebaseIdentity]:
    from firebase_admin import auth

    app = firebase_admin.initialize_app(Credential(), {"projectId": PROJECT}, name="a test's own")
    client = auth._get_client(app)
    client._token_verifier.request = google.certificates
    client._user_manager.http_client.body_and_response = google.account_answer
    yield FirebaseIdentity(app)
    firebase_admin.delete_app(app)


def token(key: rsa.RSAPrivateKey | None = KEY, algorithm: str = "RS256", kid: str = "one", **changes: object) -> str:
    seconds = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": "uid-alice",
        "iat": seconds - 10,
        "auth_time": seconds - 10,
        "exp": seconds + 3600,
        **changes,
    }
    return jwt.encode(claims, key, algorithm, {"kid": kid})  # type: ignore[arg-type]  # alg none has no key


def test_a_token_of_the_project_says_who(identity: FirebaseIdentity) -> None:
    assert identity.subject(token(), NOW) == "uid-alice"


def test_clocks_may_differ_by_ten_seconds(identity: FirebaseIdentity) -> None:
    seconds = int(datetime.now(UTC).timestamp())
    for accepted in (token(iat=seconds + 7, auth_time=seconds + 7), token(exp=seconds - 5)):
        assert identity.subject(accepted, NOW) == "uid-alice"
    for refused in (token(iat=seconds + 40, auth_time=seconds + 40), token(exp=seconds - 11)):
        with pytest.raises(IdentityRefused):
            identity.subject(refused, NOW)


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "junk",
        token(None, "none"),
        token(OTHER),
        token(kid="two"),
        token(iss="https://securetoken.google.com/other"),
        token(aud="other"),
        token(sub=""),
        token(exp=1),
        token(iat=int(NOW.timestamp()) + 86_400, exp=int(NOW.timestamp()) + 90_000),
    ],
    ids=[
        "nothing",
        "junk",
        "alg none",
        "another key",
        "unknown key id",
        "issuer",
        "audience",
        "nobody",
        "old",
        "future",
    ],
)
def test_token_is_refused(identity: FirebaseIdentity, presented: str) -> None:
    with pytest.raises(IdentityRefused):
        identity.subject(presented, NOW)


def test_a_disabled_user_a_deleted_one_and_revoked_tokens_are_refused(
    identity: FirebaseIdentity, google: Google
) -> None:
    reasons = []
    later = int(NOW.timestamp()) + 3600
    for account in (
        {"localId": "uid-alice", "disabled": True},
        None,
        {"localId": "uid-alice", "validSince": str(later)},
    ):
        google.account = account
        with pytest.raises(IdentityRefused) as refusal:
            identity.subject(token(), NOW)
        reasons.append(str(refusal.value))
    assert reasons == ["disabled", "unknown_user", "revoked"]


def test_without_certificates_nothing_is_judged(identity: FirebaseIdentity, google: Google) -> None:
    google.up = False
    with pytest.raises(Unavailable):
        identity.subject(token(), NOW)


def test_an_emulators_tokens_count_only_where_it_was_built_for_one(
    identity: FirebaseIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:9099")
    app = identity.app
    assert FirebaseIdentity(app, emulated=True).subject(token(), NOW) == "uid-alice"


def test_unsigned_tokens_are_refused_whatever_the_environment_says(
    identity: FirebaseIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:9099")
    for presented in (token(None, "none"), token(OTHER), token()):
        with pytest.raises(IdentityRefused) as refusal:
            identity.subject(presented, NOW)
        assert str(refusal.value) == "emulated"
