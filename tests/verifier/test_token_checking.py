"""Checking tokens: introspection (RFC 7662), metadata (RFC 8414), and the checker that a service runs itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.encodings import base64url_decode, base64url_encode
from keyturn.proofs.jws import compact
from keyturn.verifier.tokens import TokenChecker
from keyturn.verifier.verdict import Reason
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.token_requests import GRANT, oauth_error, post
from tests.world import CLIENT, URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.test import TestResponse

    from tests.world import World

ISSUER = f"{URL}/client_token"


def obtained(world: World, secret: str, client_id: str = CLIENT) -> str:
    return str(cast("Any", post(world, GRANT, (client_id, secret)).json)["access_token"])


def introspected(world: World, fields: Mapping[str, str], basic: tuple[str, str]) -> TestResponse:
    import base64
    from urllib.parse import urlencode

    pair = base64.b64encode(":".join(basic).encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {pair}"}
    return world.call("POST", "/client_token/introspect", urlencode(fields).encode(), headers)


def active(world: World, token: str) -> bool:
    """Return what the service's own checker says; nothing is kept on one machine."""
    return world.suite.verification.token_checker.check(token).verdict.accepted


def resource_server(world: World, *audiences: str, client_id: str = "orders-api") -> tuple[str, str]:
    """Add a client that may ask about tokens for these audiences; return its credential."""
    world.add_client(client_id, kind="x_api_key", introspects=list(audiences))
    return client_id, world.issue("alice", "bob", client_id=client_id)


def test_introspection_tells_a_resource_server_what_a_token_for_it_is(world: World) -> None:
    token = obtained(world, world.issue("alice", "bob"))
    asker = resource_server(world, "elsewhere", "keyturn")
    answer = introspected(world, {"token": token, "token_type_hint": "access_token"}, asker)
    assert answer.status_code == 200
    claims = json.loads(base64url_decode(token.split(".")[1]))
    assert answer.json == {"active": True, "token_type": "Bearer", **claims}


def test_introspection_tells_nobody_else_anything(world: World) -> None:
    secret = world.issue("alice", "bob")
    token = obtained(world, secret)
    for asker in ((CLIENT, secret), resource_server(world, "elsewhere")):
        answer = introspected(world, {"token": token}, asker)
        assert (answer.status_code, answer.json) == (200, {"active": False})


def test_a_resource_server_that_is_none_any_more_learns_nothing(world: World) -> None:
    token = obtained(world, world.issue("alice", "bob"))
    asker = resource_server(world, "keyturn")
    assert world.operator(f"/clients/{asker[0]}/tokens", {"introspects": []}).status_code == 200
    assert introspected(world, {"token": token}, asker).json == {"active": False}


def test_introspection_refuses_who_does_not_authenticate_or_asks_nothing(world: World) -> None:
    secret = world.issue("alice", "bob")
    token = obtained(world, secret)
    refused = introspected(world, {"token": token}, (CLIENT, "A" * 43))
    assert oauth_error(refused) == (401, "invalid_client")
    assert "Basic" in refused.headers["WWW-Authenticate"]
    asked = introspected(world, {}, (CLIENT, secret))
    assert oauth_error(asked) == (400, "invalid_request")


def altered(world: World, token: str, **changes: object) -> str:
    """Return a token that our own key signed, with other claims."""
    claims = {**json.loads(base64url_decode(token.split(".")[1])), **changes}
    signer = world.keys.signer
    kid = signer.current()
    return compact(claims, kid=kid, typ="at+jwt", sign=lambda data: signer.sign(kid, data))


BAD: dict[str, dict[str, object]] = {
    "another issuer": {"iss": "https://elsewhere.example"},
    "another audience": {"aud": "elsewhere"},
    "several audiences": {"aud": ["keyturn", "elsewhere"]},
    "no end": {"exp": None},
    "an end that is text": {"exp": "9999999999"},
    "ended": {"exp": 1},
    "not begun": {"iat": 9_999_999_999},
    "another version": {"client_version_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    "another client": {"client_id": "key-integrations"},
    "a client that is a list": {"client_id": ["acme"]},
    "a scope that its client has not": {"scope": "orders.read"},
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_with_other_claims_is_not_active(world: World, name: str) -> None:
    token = altered(world, obtained(world, world.issue("alice", "bob")), **BAD[name])
    answer = introspected(world, {"token": token}, resource_server(world, "keyturn"))
    assert (answer.status_code, answer.json) == (200, {"active": False})


def test_what_nobody_of_us_signed_is_not_active(world: World) -> None:
    secret = world.issue("alice", "bob")
    token = obtained(world, secret)
    head, claims, signature = token.split(".")
    flipped = base64url_encode(bytes([base64url_decode(signature)[0] ^ 1]) + base64url_decode(signature)[1:])
    none = base64url_encode(b'{"alg":"none","kid":"x","typ":"at+jwt"}')
    for bad in (f"{head}.{claims}.{flipped}", f"{none}.{claims}.", "", "a.b.c", "é.é.é", token + "A" * 5000):
        checked = world.suite.verification.token_checker.check(bad)
        assert (checked.verdict.accepted, checked.verdict.reason) == (False, Reason.BAD_TOKEN)


def test_tokens_end_with_their_version(world: World) -> None:
    first = world.issue("alice", "bob")
    old = obtained(world, first)
    world.clock.advance(hours=1)
    old = obtained(world, first)
    second = world.issue("alice", "bob")
    new = obtained(world, second)
    assert [active(world, token) for token in (old, new)] == [True, True]
    current = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    assert world.send(world.admins["alice"].action("revoke", {"version_id": current})).status_code == 200
    assert [active(world, token) for token in (old, new)] == [True, False]


def test_tokens_of_a_version_that_is_retired_without_grace_are_dead(world: World) -> None:
    old = obtained(world, world.issue("alice", "bob"))
    world.clock.advance(minutes=1)
    new = obtained(world, world.issue("alice", "bob", grace_milliseconds=0))
    assert [active(world, token) for token in (old, new)] == [False, True]


def test_tokens_of_a_version_that_is_retired_early_are_dead(world: World) -> None:
    old = obtained(world, world.issue("alice", "bob"))
    previous = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    world.clock.advance(minutes=1)
    new = obtained(world, world.issue("alice", "bob"))
    assert [active(world, token) for token in (old, new)] == [True, True]
    assert world.send(world.admins["alice"].action("retire", {"version_id": previous})).status_code == 200
    assert [active(world, token) for token in (old, new)] == [False, True]


def test_tokens_of_a_suspended_client_are_good_for_nothing_meanwhile(world: World) -> None:
    token = obtained(world, world.issue("alice", "bob"))
    for action, expected in (("suspend", False), ("resume", True)):
        assert world.send(world.admins["alice"].action(action)).status_code == 200
        assert active(world, token) is expected


def test_a_token_ends(world: World) -> None:
    token = obtained(world, world.issue("alice", "bob"))
    world.clock.advance(seconds=599)
    assert active(world, token)
    world.clock.advance(seconds=1)
    assert not active(world, token)


def test_a_services_own_checker_needs_keys_and_polls_and_no_read_a_token(world: World) -> None:
    token = obtained(world, world.issue("alice", "bob"))
    keys = cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json)["keys"]
    clock = [0.0]
    caching = Caching(lambda: clock[0], background=lambda _poll: None)
    verifier = Verifier(world.control, world.keys.mac, world.policy, caching=caching)
    checker = TokenChecker(verifier, lambda: keys, ISSUER, "keyturn")
    assert checker.check(token).verdict.accepted
    world.control.calls.clear()
    assert checker.check(token).claims["client_id"] == CLIENT
    assert world.control.calls == []
    assert world.send(world.admins["alice"].action("suspend")).status_code == 200
    verifier.poll()
    assert not checker.check(token).verdict.accepted


def test_the_server_says_where_everything_is(world: World) -> None:
    said = cast("Any", world.call("GET", "/client_token/.well-known/oauth-authorization-server").json)
    assert said["issuer"] == ISSUER
    assert said["grant_types_supported"] == ["client_credentials"]
    for name in ("token_endpoint", "introspection_endpoint", "jwks_uri"):
        method = "GET" if name == "jwks_uri" else "POST"
        assert world.call(method, said[name].removeprefix(URL)).status_code != 404


def test_what_is_well_known_of_a_door_is_found_before_its_path_too(world: World) -> None:
    below = world.call("GET", "/client_token/.well-known/oauth-authorization-server")
    before = world.call("GET", "/.well-known/oauth-authorization-server/client_token")
    assert (before.status_code, before.json) == (200, below.json)
    for path, status in (("operator", 401), ("nowhere", 404), ("", 404)):
        assert world.call("GET", f"/.well-known/oauth-authorization-server/{path}").status_code == status
