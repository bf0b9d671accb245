"""The servers that the token rows compare, each a WSGI application that gunicorn starts: `bench.token_servers:ours()`.

All take the same request (`client_credentials`, client_secret_basic). All but the floor answer with a token of the same
claims under the same ES256 key: `compact` and the signer of the key file. So a row compares endpoints.
"""

from __future__ import annotations

import hmac
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode, canonical_input
from keyturn.domain.model import Client, ClientKind, ClientState, Version, VersionState
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.ports.store import Create, put
from keyturn.proofs.jws import compact
from keyturn.proofs.receipts import receipt_key
from keyturn.records import paths
from keyturn.records.client_document import client_data
from keyturn.verifier.tokens import TYPE
from keyturn.verifier.verifier import Caching

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication

CLIENT = "acme-integrations"
SECRET = "b" * 43
VERSION, ROTATION = "01" + "A" * 24, "01" + "B" * 24
SECONDS = 600
BCRYPT_COST = 10
FOLDER = "BENCH_FOLDER"
"""The variable that says where the embedded store and the key file are."""
_ROOT = Path(__file__).parent.parent


def suite(folder: Path) -> Suite:
    """Return a suite over the folder, with a verifier that caches verdicts as in the cloud."""
    return Suite(Settings(stage=Stage.LOCAL, data=folder), Overrides(caching=Caching()))


def furnish(folder: Path) -> None:
    """Write the client, with one current version, into the folder's store."""
    suite_in_use, path = suite(folder), paths.client(CLIENT)
    store, mac = suite_in_use.databases.control, suite_in_use.keys.mac
    snapshot = store.get([path])
    key_name = mac.current()
    tag = mac.sign(key_name, canonical_input(CLIENT, VERSION, SECRET))
    receipt = receipt_key(SECRET, client_id=CLIENT, version_id=VERSION, rotation_id=ROTATION)
    version = Version(
        client_id=CLIENT,
        version_id=VERSION,
        created_at=snapshot.read_time,
        not_before=snapshot.read_time,
        rotation_id=ROTATION,
        rotated_by="0" * 64,
        rotation_reason="bench",
        state=VersionState.CURRENT,
        secret_hash=base64url_encode(tag),
        mac_key_ref=key_name,
        receipt_key=base64url_encode(receipt),
    )
    kind = ClientKind.OAUTH2_CLIENT_SECRET
    client = Client(CLIENT, kind, ("ops",), snapshot.read_time, current_version=VERSION, revision=1)
    state = ClientState(client, {VERSION: version})
    salt = Create(
        paths.SALT, {"salt": os.urandom(32)}
    )  # as the sweeper makes it: without, tags are made anew each time
    store.commit([put(snapshot[path], client_data(state, suite_in_use.settings.policy)), salt])


def ours() -> WSGIApplication:
    """Return the door `client_token`, as functions-framework serves it."""
    wiring.use(suite(_folder()))
    return _announced("ours", _door("client_token", _ROOT / "main.py"))


def floor() -> WSGIApplication:
    """Return functions-framework answering a constant."""
    return _announced("floor", _door("constant", Path(__file__).with_name("constant_door.py")))


def authlib_plain() -> WSGIApplication:
    """Return Authlib's server, which compares the secret as it is."""
    return _announced("authlib_plain", _authlib(lambda secret: hmac.compare_digest(secret, SECRET)))


def authlib_bcrypt() -> WSGIApplication:
    """Return Authlib's server, which holds the secret against a bcrypt hash."""
    import bcrypt  # noqa: PLC0415 - one of the four needs it

    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(BCRYPT_COST))
    return _announced("authlib_bcrypt", _authlib(lambda secret: bcrypt.checkpw(secret.encode(), hashed)))


def _announced(name: str, app: WSGIApplication) -> WSGIApplication:
    """Write the id of the serving process, to measure its processor time."""
    (_folder() / f"{name}.pid").write_text(str(os.getpid()), "ascii")
    return app


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _door(name: str, source: Path) -> WSGIApplication:
    import functions_framework  # noqa: PLC0415 - one of the four does without

    app: WSGIApplication = functions_framework.create_app(target=name, source=str(source))  # type: ignore[no-untyped-call]  # the framework has no types
    return app


def _authlib(matches: Callable[[str], bool]) -> WSGIApplication:
    import flask  # noqa: PLC0415 - the framework of two of the four
    from authlib.integrations.flask_oauth2 import AuthorizationServer  # noqa: PLC0415 - the same
    from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant  # noqa: PLC0415 - the same
    from authlib.oauth2.rfc6750 import BearerTokenGenerator  # noqa: PLC0415 - the same

    app, client = flask.Flask("authlib"), AuthlibClient(matches)
    clients_by_id = {CLIENT: client}
    server = AuthorizationServer(app, query_client=clients_by_id.get, save_token=lambda _token, _request: None)
    server.register_grant(ClientCredentialsGrant)
    server.register_token_generator("default", BearerTokenGenerator(_maker(), None, lambda _client, _grant: SECONDS))
    answer = server.create_token_response
    app.add_url_rule("/token", view_func=answer, methods=["POST"])  # type: ignore[arg-type]  # its stubs know no Flask
    return app


def _maker() -> Callable[..., str]:
    """Return what makes Authlib's tokens: the same claims, encoded and signed by the same functions as ours."""
    signer = suite(_folder()).keys.signer

    def made_up_token(**_request_fields: object) -> str:
        now, kid = int(time.time()), signer.current()
        claims = {
            "iss": "http://127.0.0.1:8787/client_token",
            "aud": "keyturn",
            "sub": CLIENT,
            "client_id": CLIENT,
            "client_version_id": VERSION,
            "iat": now,
            "exp": now + SECONDS,
            "jti": base64url_encode(os.urandom(16)),
        }
        return compact(claims, kid=kid, typ=TYPE, sign=lambda data: signer.sign(kid, data))

    return made_up_token


@dataclass(frozen=True, slots=True)
class AuthlibClient:
    """A client as Authlib asks for it (its ClientMixin, as far as this grant goes)."""

    matches: Callable[[str], bool]

    def check_client_secret(self, secret: str) -> bool:
        """Return whether a presented secret is the client's."""
        return self.matches(secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Return whether it may authenticate so: both ways that ours takes."""
        return endpoint == "token" and method in {"client_secret_basic", "client_secret_post"}

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether it may ask so."""
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return what its tokens are for: nothing in particular."""
        return scope or ""
