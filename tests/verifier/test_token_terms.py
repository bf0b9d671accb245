"""What a client's tokens say (audience, scopes): at the token endpoint, at the operator's, and where checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.verifier.tokens import TokenChecker
from keyturn.verifier.verdict import Reason
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.token_requests import GRANT, claims_of, oauth_error, post
from tests.world import CLIENT, URL

if TYPE_CHECKING:
    from tests.world import World

ORDERS = "https://orders.example"
SCOPES = ["orders.read", "orders.write", "stock:see"]
READER = "reader"
TERMS = {"audience": ORDERS, "scopes": SCOPES}


@pytest.fixture
def secret(world: World) -> str:
    """Add a client with an audience and scopes of its own, and return its secret."""
    world.add_client(READER, **TERMS)
    return world.issue("alice", "bob", client_id=READER)


def checker(world: World, audience: str = ORDERS) -> TokenChecker:
    return TokenChecker(
        world.suite.verification.verifier, world.suite.verification.token_checker.keys, f"{URL}/client_token", audience
    )


def token(world: World, secret: str, **fields: str) -> str:
    return str(cast("Any", post(world, {**GRANT, **fields}, (READER, secret)).json)["access_token"])


def set_terms(world: World, **fields: object) -> None:
    assert world.operator(f"/clients/{READER}/tokens", fields).status_code == 200


def test_a_token_without_a_wish_is_for_all_that_its_client_may(world: World, secret: str) -> None:
    answer = post(world, GRANT, (READER, secret))
    assert cast("Any", answer.json)["scope"] == " ".join(SCOPES)
    claims = claims_of(world, answer)
    assert (claims["aud"], claims["scope"]) == (ORDERS, " ".join(SCOPES))


@pytest.mark.parametrize("asked", ["orders.read", "stock:see orders.read", " orders.read", "orders.read\tstock:see  "])
def test_a_token_may_be_asked_for_less(world: World, secret: str, asked: str) -> None:
    answer = post(world, {**GRANT, "scope": asked}, (READER, secret))
    assert "scope" not in cast("Any", answer.json)  # it is what was asked for
    assert claims_of(world, answer)["scope"] == " ".join(asked.split())


@pytest.mark.parametrize("asked", ["orders.erase", "orders.read orders.erase", "orders.read  orders.erase", 'a"b', "é"])
def test_what_a_client_may_not_have_or_nobody_can_is_no_scope(world: World, secret: str, asked: str) -> None:
    answer = post(world, {**GRANT, "scope": asked}, (READER, secret))
    assert oauth_error(answer) == (400, "invalid_scope")


def test_a_client_without_scopes_gets_none(world: World) -> None:
    plain = world.issue("alice", "bob")
    answer = post(world, {**GRANT, "scope": ""}, (CLIENT, plain))
    assert "scope" not in cast("Any", answer.json)
    assert "scope" not in claims_of(world, answer)
    refused = post(world, {**GRANT, "scope": "orders.read"}, (CLIENT, plain))
    assert oauth_error(refused) == (400, "invalid_scope")


def test_a_blank_scope_is_none(world: World, secret: str) -> None:
    answer = post(world, {**GRANT, "scope": "  "}, (READER, secret))
    assert cast("Any", answer.json)["scope"] == claims_of(world, answer)["scope"] == " ".join(SCOPES)


def test_a_resource_may_be_repeated(world: World, secret: str) -> None:
    grant = "grant_type=client_credentials"
    answer = post(world, f"{grant}&resource={ORDERS}&resource={ORDERS}".encode(), (READER, secret))
    assert claims_of(world, answer)["aud"] == ORDERS
    several = post(world, f"{grant}&resource={ORDERS}&resource=https://stock.example".encode(), (READER, secret))
    assert oauth_error(several) == (400, "invalid_target")
    repeated = post(world, f"{grant}&resource={ORDERS}&resource={ORDERS}&{grant}".encode(), (READER, secret))
    assert oauth_error(repeated) == (400, "invalid_request")


def test_a_resource_that_is_not_the_clients_gets_no_token(world: World, secret: str) -> None:
    assert claims_of(world, post(world, {**GRANT, "resource": ORDERS}, (READER, secret)))["aud"] == ORDERS
    answer = post(world, {**GRANT, "resource": "https://stock.example"}, (READER, secret))
    assert oauth_error(answer) == (400, "invalid_target")


def test_a_service_takes_tokens_for_itself_and_for_what_they_are(world: World, secret: str) -> None:
    reading = token(world, secret, scope="orders.read")
    checked = checker(world).check(reading, ["orders.read"])
    assert checked.verdict.accepted
    assert checked.scopes == {"orders.read"}
    writing = checker(world).check(reading, ["orders.read", "orders.write"])
    assert (writing.verdict.accepted, writing.verdict.reason) == (False, Reason.INSUFFICIENT_SCOPE)
    assert (writing.claims, writing.scopes) == ({}, frozenset())
    elsewhere = checker(world, "keyturn").check(reading)
    assert (elsewhere.verdict.accepted, elsewhere.verdict.reason) == (False, Reason.BAD_TOKEN)


def test_narrowed_scopes_end_the_tokens_that_had_more(world: World, secret: str) -> None:
    wide, narrow = token(world, secret), token(world, secret, scope="orders.read")
    set_terms(world, scopes=["orders.read"])
    assert [checker(world).check(it).verdict.accepted for it in (wide, narrow)] == [False, True]
    set_terms(world, scopes=SCOPES)
    assert checker(world).check(wide).verdict.accepted


def test_another_audience_ends_the_tokens_for_the_former_one(world: World, secret: str) -> None:
    old = token(world, secret)
    set_terms(world, audience="https://stock.example")
    new = token(world, secret)
    assert [checker(world).check(it).verdict.accepted for it in (old, new)] == [False, False]
    stock = checker(world, "https://stock.example")
    assert [stock.check(it).verdict.accepted for it in (old, new)] == [False, True]


def test_new_terms_reach_a_verifier_that_keeps_verdicts_by_a_poll(world: World, secret: str) -> None:
    clock = [0.0]
    caching = Caching(lambda: clock[0], background=lambda _poll: None)
    verifier = Verifier(world.control, world.keys.mac, world.policy, caching=caching)
    assert verifier.check(READER, secret).terms.scopes == tuple(SCOPES)
    set_terms(world, scopes=[])
    verifier.poll()
    assert verifier.check(READER, secret).terms.scopes == ()


def test_terms_are_shown_and_changed_one_by_one_and_audited(world: World, secret: str) -> None:
    shown = cast("Any", world.operator(f"/clients/{READER}").json)["tokens"]
    assert shown == {"audience": ORDERS, "scopes": SCOPES, "introspects": [], "algorithm": None}
    before = world.document(f"oauth2_clients/{READER}")
    answer = world.operator(f"/clients/{READER}/tokens", {"introspects": [ORDERS], "scopes": ["orders.read"]})
    after = {"audience": ORDERS, "scopes": ["orders.read"], "introspects": [ORDERS], "algorithm": None}
    assert cast("Any", answer.json)["tokens"] == after
    stored = world.document(f"oauth2_clients/{READER}")
    assert stored["revision"] == before["revision"] + 1
    entry = world.document(f"oauth2_clients/{READER}/audit/{stored['audit_head']['seq']:012d}")
    assert (entry["action"], entry["actor"]) == ("set_token_terms", "operator")
    assert entry["before"] == entry["after"]
    scopes = f"scopes=orders.read (before: {' '.join(SCOPES)})"
    assert entry["reason"] == f"{scopes}, introspects={ORDERS} (before: default)"
    assert world.check(secret, READER)["accepted"]


def test_what_changes_nothing_writes_nothing(world: World, secret: str) -> None:
    assert secret
    before = world.document(f"oauth2_clients/{READER}")
    for fields in (TERMS, {}, {"audience": None}):
        set_terms(world, **fields)
    assert world.document(f"oauth2_clients/{READER}") == before


BAD: dict[str, dict[str, object]] = {
    "a scope with a space": {"scopes": ["orders read"]},
    "a scope with a quote": {"scopes": ['orders"read']},
    "an empty scope": {"scopes": [""]},
    "a scope twice": {"scopes": ["a", "a"]},
    "too many scopes": {"scopes": [f"s{number}" for number in range(33)]},
    "scopes that are no list": {"scopes": "orders.read"},
    "scopes that are no texts": {"scopes": [1]},
    "an audience with a line's end": {"audience": "orders\n"},
    "an audience that is no text": {"audience": ["a"]},
    "a long audience": {"audience": "a" * 257},
    "an empty audience to ask about": {"introspects": [""]},
    "an audience to ask about twice": {"introspects": ["a", "a"]},
}


@pytest.mark.parametrize("name", BAD)
def test_terms_that_can_not_be_are_refused(world: World, name: str) -> None:
    before = world.dump()
    groups = {"client_id": "another", "groups": ["operations-team"]}
    for path, fields in ((f"/clients/{CLIENT}/tokens", {}), ("/clients", groups)):
        assert world.operator(path, {**fields, **BAD[name]}).status_code == 400
    assert world.dump() == before


def test_terms_of_nobody_and_of_a_revoked_client_stay(world: World) -> None:
    assert world.operator("/clients/nobody/tokens", {"scopes": []}).status_code == 404
    for person in ("alice", "bob"):
        world.send(world.admins[person].action("revoke", {"version_id": "all"}))
    answer = world.operator(f"/clients/{CLIENT}/tokens", {"scopes": ["orders.read"]})
    assert (answer.status_code, cast("Any", answer.json)["reason"]) == (409, "client_revoked")


def test_the_largest_terms_fit_into_a_token(world: World) -> None:
    scopes = [f"{number:02d}".ljust(64, "s") for number in range(32)]
    world.add_client(READER, audience="a" * 256, scopes=scopes)
    wide = token(world, world.issue("alice", "bob", client_id=READER))
    assert checker(world, "a" * 256).check(wide, scopes).verdict.accepted
