"""Revoked access tokens (RFC 7009): who may revoke which, and where they are refused."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from keyturn.ports.store import StoreUnavailable
from keyturn.verifier.middleware.credentials import Denial, Guard
from keyturn.verifier.revoked_tokens import RevokedTokens
from keyturn.verifier.tokens import TokenChecker
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.token_requests import FORM, GRANT, oauth_error, post
from tests.world import CLIENT, EACH_STORE

if TYPE_CHECKING:
    import pytest
    from werkzeug.test import TestResponse

    from tests.world import World


def token_of(world: World, secret: str, client_id: str = CLIENT) -> str:
    return str(cast("Any", post(world, GRANT, (client_id, secret)).json)["access_token"])


def revoked(world: World, fields: dict[str, str], basic: tuple[str, str]) -> TestResponse:
    pair = base64.b64encode(":".join(basic).encode()).decode()
    headers = {"Content-Type": FORM, "Authorization": f"Basic {pair}"}
    return world.call("POST", "/client_token/revoke", urlencode(fields).encode(), headers)


def is_accepted(world: World, token: str) -> bool:
    gate = world.call("GET", "/client_token/check", headers={"Authorization": f"Bearer {token}"})
    assert gate.status_code in {204, 401}
    assert world.suite.verification.token_checker.check(token).verdict.accepted is (gate.status_code == 204)
    return gate.status_code == 204


@EACH_STORE
def test_a_revoked_token_is_refused_and_no_other(world: World) -> None:
    secret = world.issue("alice", "bob")
    first, second = token_of(world, secret), token_of(world, secret)
    for _ in range(2):  # the second time it is revoked already
        answer = revoked(world, {"token": first, "token_type_hint": "access_token"}, (CLIENT, secret))
        assert (answer.status_code, answer.json) == (200, {})
    assert [is_accepted(world, token) for token in (first, second)] == [False, True]
    world.clock.advance(minutes=11)
    world.sweep()
    assert not [path for path in world.documents(world.usage) if path.startswith("revoked_tokens/")]


def test_what_is_no_valid_token_is_answered_alike_and_stored_nowhere(world: World) -> None:
    secret = world.issue("alice", "bob")
    expired = token_of(world, secret)
    world.clock.advance(minutes=11)
    before = world.dump()
    for token in ("a.b.c", "nothing", expired):
        answer = revoked(world, {"token": token}, (CLIENT, secret))
        assert (answer.status_code, answer.json) == (200, {})
    assert world.dump() == before


def test_a_client_revokes_its_own_tokens_only(world: World) -> None:
    world.add_client("other")
    own, foreign = (world.issue("alice", "bob", client_id=name) for name in (CLIENT, "other"))
    token = token_of(world, own)
    assert oauth_error(revoked(world, {"token": token}, ("other", foreign))) == (400, "unauthorized_client")
    assert oauth_error(revoked(world, {"token": token}, (CLIENT, foreign))) == (401, "invalid_client")
    assert oauth_error(revoked(world, {}, (CLIENT, own))) == (400, "invalid_request")
    assert is_accepted(world, token)


def test_a_guard_elsewhere_refuses_it_within_the_staleness_bound(world: World) -> None:
    secret = world.issue("alice", "bob")
    token = token_of(world, secret)
    clock = [0.0]
    caching = Caching(lambda: clock[0], background=lambda _poll: None)
    revocations = RevokedTokens(world.usage, lambda: clock[0], 5.0)
    verifier = Verifier(world.control, world.keys.mac, world.policy, caching=caching, revocations=revocations)
    issuer = world.suite.verification.tokens
    guard = Guard(verifier, TokenChecker(verifier, lambda: issuer.jwks()["keys"], issuer.issuer, issuer.audience))
    headers = {"authorization": f"Bearer {token}"}
    assert not isinstance(guard.decide(headers), Denial)
    world.usage.calls.clear()
    assert not isinstance(guard.decide(headers), Denial)
    assert world.usage.calls == []
    revoked(world, {"token": token}, (CLIENT, secret))
    clock[0] += 5.1
    verifier.poll()
    assert cast("Denial", guard.decide(headers)).status == 401


def test_without_an_answer_there_is_no_verdict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = world.issue("alice", "bob")
    token = token_of(world, secret)

    def fail(*_: object) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(world.usage, "get", fail)
    assert world.call("GET", "/client_token/check", headers={"Authorization": f"Bearer {token}"}).status_code == 503
    assert world.check(secret)["accepted"]  # a secret does not depend on it
