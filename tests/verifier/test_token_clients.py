"""OAuth2 clients as their makers publish them: they find the endpoints, get tokens, use them, and see them end."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, InvalidScopeError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.verifier.served import ASKER, AUDIENCE, CLIENT, SCOPES, Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 20


@pytest.fixture(scope="module", params=["ES256", "RS256"])
def at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oauthlib take http:// from one's own machine, by the switch that its makers give for it."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


# --- requests-oauthlib -----------------------------------------------------------------------------------------------


def oauthlib_session(scope: str | None = None) -> OAuth2Session:
    return OAuth2Session(client=BackendApplicationClient(CLIENT, scope=scope), scope=scope)


@pytest.mark.parametrize("way", ["basic", "post", "basic and the id in the form"])
def test_requests_oauthlib_gets_and_uses_a_token(at: Served, way: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "basic": {"auth": HTTPBasicAuth(CLIENT, at.secret)},
        "post": {"client_secret": at.secret, "include_client_id": True},
        "basic and the id in the form": {"auth": HTTPBasicAuth(CLIENT, at.secret), "include_client_id": True},
    }
    session = oauthlib_session()
    token = session.fetch_token(at.token_url, timeout=SECONDS, **ways[way])
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 600, SCOPES)
    assert session.get(at.orders, timeout=SECONDS).json() == {"orders": [7], "client": CLIENT}


def test_requests_oauthlib_asks_for_a_scope_and_hears_that_there_is_none_such(at: Served) -> None:
    narrow = oauthlib_session("orders.write")
    narrow.fetch_token(at.token_url, client_secret=at.secret, include_client_id=True, timeout=SECONDS)
    assert narrow.get(at.orders, timeout=SECONDS).status_code == 403
    session = oauthlib_session("orders.erase")
    with pytest.raises(InvalidScopeError):
        session.fetch_token(at.token_url, client_secret=at.secret, include_client_id=True, timeout=SECONDS)


def test_requests_oauthlib_understands_a_refusal(at: Served) -> None:
    with pytest.raises(InvalidClientError):
        oauthlib_session().fetch_token(at.token_url, auth=HTTPBasicAuth(CLIENT, "A" * 43), timeout=SECONDS)


# --- Authlib ---------------------------------------------------------------------------------------------------------


def authlib_session(at: Served, method: str, secret: str | None = None) -> AuthlibSession:
    return AuthlibSession(CLIENT, secret or at.secret, token_endpoint_auth_method=method, default_timeout=SECONDS)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_gets_and_uses_a_token(at: Served, method: str) -> None:
    session = authlib_session(at, method)
    token = session.fetch_token(at.token_url, grant_type="client_credentials", scope="orders.read")
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 600)
    assert session.get(at.orders).json() == {"orders": [7], "client": CLIENT}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_understands_refusals(at: Served, method: str) -> None:
    with pytest.raises(OAuthError) as refused:
        authlib_session(at, method, "A" * 43).fetch_token(at.token_url, grant_type="client_credentials")
    assert refused.value.error == "invalid_client"
    with pytest.raises(OAuthError) as beyond:
        authlib_session(at, method).fetch_token(at.token_url, grant_type="client_credentials", scope="orders.erase")
    assert beyond.value.error == "invalid_scope"


def test_authlib_introspects_as_a_resource_server(at: Served) -> None:
    token = authlib_session(at, "client_secret_basic").fetch_token(at.token_url, grant_type="client_credentials")
    asker = AuthlibSession(ASKER, at.asker_secret, default_timeout=SECONDS)
    said = asker.introspect_token(f"{at.issuer}/introspect", token=token["access_token"]).json()
    assert (said["active"], said["client_id"], said["aud"]) == (True, CLIENT, AUDIENCE)
    assert said["scope"] == " ".join(SCOPES)


def test_authlib_revokes_a_token(at: Served) -> None:
    session = authlib_session(at, "client_secret_basic")
    token = session.fetch_token(at.token_url, grant_type="client_credentials")
    assert session.get(at.orders).status_code == 200
    assert cast("Any", session).revoke_token(f"{at.issuer}/revoke", token=token["access_token"]).status_code == 200
    assert session.get(at.orders).status_code == 401


def test_the_metadata_is_whole_and_where_clients_look_for_it(at: Served) -> None:
    found = requests.get(get_well_known_url(at.issuer, external=True), timeout=SECONDS)
    below = requests.get(f"{at.issuer}/.well-known/oauth-authorization-server", timeout=SECONDS)
    assert found.json() == below.json()
    metadata = AuthorizationServerMetadata({**found.json(), "issuer": at.issuer.replace("http:", "https:")})
    metadata.validate_issuer()
    metadata.validate_token_endpoint_auth_methods_supported()
    metadata.validate_introspection_endpoint_auth_methods_supported()
    assert found.json()["issuer"] == at.issuer
    metadata.validate_revocation_endpoint_auth_methods_supported()
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"):
        assert urlsplit(found.json()[name]).path.startswith("/client_token/")


# --- curl ------------------------------------------------------------------------------------------------------------


def curl(*arguments: str, config: str = "") -> tuple[int, Any]:
    """Run curl; what is secret comes by standard input. Return status and body."""
    program = shutil.which("curl") or "curl"
    words = [
        program,
        "--silent",
        "--max-time",
        str(SECONDS),
        "--write-out",
        "\n%{http_code}",
        "--config",
        "-",
        *arguments,
    ]
    done = subprocess.run(words, input=config, capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.tier("curl")
def test_curl_gets_and_uses_a_token(at: Served) -> None:
    form = ("--data", "grant_type=client_credentials", "--data-urlencode", "scope=orders.read orders.write")
    status, said = curl(*form, at.token_url, config=f'user = "{CLIENT}:{at.secret}"')
    assert (status, said["token_type"], said["expires_in"]) == (200, "Bearer", 600)
    bearer = f'oauth2-bearer = "{said["access_token"]}"'
    assert curl(at.orders, config=bearer) == (200, {"orders": [7], "client": CLIENT})
    asked = f'user = "{ASKER}:{at.asker_secret}"\ndata = "token={said["access_token"]}"'
    status, told = curl(f"{at.issuer}/introspect", config=asked)
    assert (status, told["active"], told["scope"]) == (200, True, "orders.read orders.write")


@pytest.mark.tier("curl")
def test_curl_may_encode_what_stands_in_basic_and_may_send_a_form(at: Served) -> None:
    encoded = quote(CLIENT, safe="").replace(".", "%2E").replace("~", "%7E")
    for config in (
        f'user = "{encoded}:{at.secret}"',
        f'data-urlencode = "client_id={CLIENT}"\ndata-urlencode = "client_secret={at.secret}"',
    ):
        status, said = curl("--data", "grant_type=client_credentials", at.token_url, config=config)
        assert (status, said["scope"]) == (200, " ".join(SCOPES))


@pytest.mark.tier("curl")
def test_curl_hears_of_errors_in_their_form(at: Served) -> None:
    good, wrong = f'user = "{CLIENT}:{at.secret}"', f'user = "{CLIENT}:{"A" * 43}"'
    for form, config, expected in (
        ("grant_type=client_credentials", wrong, (401, {"error": "invalid_client"})),
        ("grant_type=password", good, (400, {"error": "unsupported_grant_type"})),
        ("grant_type=client_credentials&scope=orders.erase", good, (400, {"error": "invalid_scope"})),
    ):
        status, said = curl("--data", form, at.token_url, config=config)
        assert (status, said.pop("error_description") != "", said) == (expected[0], True, expected[1])


# --- all of them: the end --------------------------------------------------------------------------------------------


def test_tokens_of_all_clients_end_with_their_version(tmp_path: Path) -> None:
    with served(tmp_path) as at:
        session = authlib_session(at, "client_secret_basic")
        session.fetch_token(at.token_url, grant_type="client_credentials")
        assert session.get(at.orders).status_code == 200
        at.revoke()
        ended = session.get(at.orders)
        assert ended.status_code == 401
        assert 'error="invalid_token"' in ended.headers["WWW-Authenticate"]
        with pytest.raises(OAuthError):
            session.fetch_token(at.token_url, grant_type="client_credentials")
