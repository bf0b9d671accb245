"""`/check`, as services and as proxies ask it."""

from __future__ import annotations

import base64
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

import bcrypt
import pytest

from tests.verifier.token_requests import GRANT, post
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.test import TestResponse

    from tests.world import World

pytestmark = pytest.mark.world("alice", "bob")

WRONG = "B" * 43


def key(client_id: str, secret: str) -> dict[str, str]:
    return {"X-Client-Id": client_id, "X-API-Key": secret}


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def check(world: World, method: str, headers: Mapping[str, str]) -> TestResponse:
    return world.call(method, "/client_token/check", headers=headers)


@pytest.mark.parametrize("present", [key, basic])
def test_a_proxy_gets_the_verdict_in_headers(world: World, present: Any) -> None:  # noqa: ANN401 - a way to present it
    first = world.issue("alice", "bob")
    version_id = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    accepted = check(world, "GET", present(CLIENT, first))
    assert (accepted.status_code, accepted.data) == (204, b"")
    assert (accepted.headers["X-Client-Id"], accepted.headers["X-Client-Version"]) == (CLIENT, version_id)
    assert not {"Sunset", "Content-Type"} & {*accepted.headers.keys()}

    second = world.issue("alice", "bob")
    old, new = (check(world, "GET", present(CLIENT, secret)) for secret in (first, second))
    assert (old.status_code, new.status_code) == (204, 204)
    ends = parsedate_to_datetime(old.headers["Sunset"]).timestamp() * 1000
    assert ends == world.check(first)["not_after"]
    assert old.headers["Deprecation"].startswith("@")
    assert "Deprecation" not in new.headers


def test_a_proxy_may_pass_on_an_access_token(world: World) -> None:
    token = cast("Any", post(world, GRANT, (CLIENT, world.issue("alice", "bob"))).json)["access_token"]
    accepted = check(world, "GET", {"Authorization": f"Bearer {token}"})
    assert (accepted.status_code, accepted.headers["X-Client-Id"]) == (204, CLIENT)
    refused = check(world, "GET", {"Authorization": "Bearer a.b.c"})
    assert refused.status_code == 401
    assert refused.headers.getlist("WWW-Authenticate")[1] == 'Bearer realm="keyturn", error="invalid_token"'


def test_a_token_is_for_the_service_that_the_proxy_names(world: World) -> None:
    secret = world.issue("alice", "bob")
    world.operator(f"/clients/{CLIENT}/tokens", {"audience": "https://orders.example"})
    token = cast("Any", post(world, GRANT, (CLIENT, secret)).json)["access_token"]
    for query, status in (
        ("", 401),
        ("?audience=https://orders.example", 204),
        ("?audience=https://stock.example", 401),
    ):
        path = f"/client_token/check{query}"
        assert world.call("GET", path, headers={"Authorization": f"Bearer {token}"}).status_code == status


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [{}, key(CLIENT, WRONG), basic(CLIENT, WRONG), key("no-such-client", WRONG)])
def test_what_is_refused_is_challenged(world: World, method: str, headers: Mapping[str, str]) -> None:
    world.issue("alice", "bob")
    answer = check(world, method, headers)
    assert (answer.status_code, "X-Client-Id" in answer.headers) == (401, False)
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="keyturn"')


def test_two_credentials_are_none(world: World) -> None:
    secret = world.issue("alice", "bob")
    for method in ("GET", "POST"):
        assert check(world, method, {**key(CLIENT, secret), **basic(CLIENT, secret)}).status_code == 401


def test_a_service_is_told_of_an_old_secret(world: World) -> None:
    first = world.issue("alice", "bob")
    assert "Sunset" not in check(world, "POST", key(CLIENT, first)).headers
    world.issue("alice", "bob")
    assert "Sunset" in check(world, "POST", key(CLIENT, first)).headers


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_key_need_not_be_ascii(world: World, encoding: str, method: str) -> None:
    secret = "clé-secrète-über-alles"
    hashed = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode()
    world.operator("/imports", {"clients": [{"client_id": "old", "groups": [GROUP], "secret_hash": hashed}]})
    sent = secret.encode(encoding).decode("latin-1")  # as a WSGI server gives the bytes (PEP 3333)
    assert check(world, method, key("old", sent)).status_code in {200, 204}
    assert check(world, method, key("old", sent + "!")).status_code == 401
