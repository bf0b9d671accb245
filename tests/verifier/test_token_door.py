"""The token endpoint (RFC 6749 §4.4): client authentication, errors, and tokens that joserfc accepts."""

from __future__ import annotations

import base64
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, quote_plus, urlencode

import bcrypt
import pytest

from tests.verifier.token_requests import FORM, GRANT, claims_of, oauth_error, post
from tests.world import CLIENT, GROUP, URL

if TYPE_CHECKING:
    from tests.world import World


def test_a_token_by_basic_and_by_post_says_which_version_it_rests_on(world: World) -> None:
    secret = world.issue("alice", "bob")
    by_basic = post(world, GRANT, (CLIENT, secret))
    by_post = post(world, {**GRANT, "client_id": CLIENT, "client_secret": secret})

    claims = [claims_of(world, answer) for answer in (by_basic, by_post)]

    version_id = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    now = int(world.clock.now.timestamp())
    for item in claims:
        assert (item["sub"], item["client_id"], item["client_version_id"]) == (CLIENT, CLIENT, version_id)
        assert (item["iss"], item["aud"]) == (f"{URL}/client_token", "keyturn")
        assert (item["iat"], item["exp"]) == (now, now + 600)
    assert claims[0]["jti"] != claims[1]["jti"]
    answer = cast("Any", by_basic.json)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 600)
    assert (by_basic.headers["Cache-Control"], by_basic.headers["Pragma"]) == ("no-store", "no-cache")


def test_credentials_are_url_encoded_before_basic(world: World) -> None:
    world.add_client("acme.odd~id")
    secret = world.issue("alice", "bob", client_id="acme.odd~id")
    encoded = (quote("acme.odd~id", safe="").replace(".", "%2E"), quote(secret, safe="").replace("-", "%2D"))
    assert claims_of(world, post(world, GRANT, encoded))["client_id"] == "acme.odd~id"


def test_no_token_outlives_its_version(world: World) -> None:
    first = world.issue("alice", "bob")
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    world.clock.advance(minutes=55, seconds=0.5)
    end = world.check(first)["not_after"]

    answer = post(world, GRANT, (CLIENT, first))

    claims = claims_of(world, answer)
    assert claims["exp"] * 1000 <= end
    assert cast("Any", answer.json)["expires_in"] == claims["exp"] - claims["iat"] == 300


def test_a_client_may_have_shorter_tokens(world: World) -> None:
    world.add_client("brief-integrations", policy={"access_token_seconds": 60})
    secret = world.issue("alice", "bob", client_id="brief-integrations")
    assert cast("Any", post(world, GRANT, ("brief-integrations", secret)).json)["expires_in"] == 60


def test_tokens_of_an_older_key_verify_after_a_new_one_signs(world: World) -> None:
    secret = world.issue("alice", "bob")
    old = post(world, GRANT, (CLIENT, secret))
    world.keys.add_version("sign")
    new = post(world, GRANT, (CLIENT, secret))
    assert {claims_of(world, answer)["client_id"] for answer in (old, new)} == {CLIENT}
    assert len(cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json)["keys"]) == 2


def test_the_published_keys_hold_nothing_private(world: World) -> None:
    (key,) = cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json)["keys"]
    assert set(key) == {"kty", "crv", "alg", "use", "kid", "x", "y"}


WRONG = "B" * 43
SECRET = "the secret"  # stands for the client's own
BAD: dict[str, tuple[Any, Any, int, str]] = {
    "a wrong secret by basic": (GRANT, (CLIENT, WRONG), 401, "invalid_client"),
    "a wrong secret by post": ({**GRANT, "client_id": CLIENT, "client_secret": WRONG}, None, 401, "invalid_client"),
    "an unknown client": (GRANT, ("nobody-knows-this", SECRET), 401, "invalid_client"),
    "no credentials": (GRANT, None, 401, "invalid_client"),
    "no secret": ({**GRANT, "client_id": CLIENT}, None, 401, "invalid_client"),
    "basic that is no base64": (GRANT, "not*base64*at*all", 401, "invalid_client"),
    "basic without a colon": (GRANT, base64.b64encode(b"no-colon-in-here").decode(), 401, "invalid_client"),
    "basic with a control character": (GRANT, (f"{CLIENT}\n", SECRET), 401, "invalid_client"),
    "basic that is no UTF-8": (GRANT, base64.b64encode(b"\xff\xfe:\xff").decode(), 401, "invalid_client"),
    "both methods": ({**GRANT, "client_id": CLIENT, "client_secret": SECRET}, (CLIENT, SECRET), 400, "invalid_request"),
    "another grant": ({"grant_type": "password"}, (CLIENT, SECRET), 400, "unsupported_grant_type"),
    "no grant": ({}, (CLIENT, SECRET), 400, "invalid_request"),
    "an empty grant": ({"grant_type": ""}, (CLIENT, SECRET), 400, "invalid_request"),
    "a parameter twice": (
        b"grant_type=client_credentials&grant_type=password",
        (CLIENT, SECRET),
        400,
        "invalid_request",
    ),
    "too many parameters": (b"&".join(b"p%d=1" % n for n in range(21)), (CLIENT, SECRET), 400, "invalid_request"),
    "a form that is no UTF-8": (b"grant_type=\xff\xfe", (CLIENT, SECRET), 400, "invalid_request"),
    "an endless form": (b"grant_type=" + b"x" * (256 * 1024), (CLIENT, SECRET), 413, "invalid_request"),
    "an API key": (GRANT, ("key-integrations", "API KEY"), 400, "unauthorized_client"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_request_gets_its_error_and_echoes_nothing(world: World, name: str) -> None:
    form, basic, status, error = BAD[name]
    given = {SECRET: world.issue("alice", "bob"), "API KEY": world.issue("alice", "bob", client_id="key-integrations")}
    if isinstance(form, dict):
        form = {key: given.get(value, value) for key, value in form.items()}
    if isinstance(basic, tuple):
        basic = (basic[0], given.get(basic[1], basic[1]))
    before = world.dump()

    answer = post(world, form, basic)

    assert oauth_error(answer) == (status, error)
    assert (answer.headers.get("WWW-Authenticate") is not None) == (status == 401)
    assert answer.headers["Cache-Control"] == "no-store"
    assert world.dump() == before


def test_a_body_of_another_kind_is_refused(world: World) -> None:
    secret = world.issue("alice", "bob")
    answer = post(world, b'{"grant_type": "client_credentials"}', (CLIENT, secret), "application/json")
    assert oauth_error(answer) == (400, "invalid_request")


def test_another_scheme_is_refused(world: World) -> None:
    headers = {"Content-Type": FORM, "Authorization": "Bearer something-or-other"}
    answer = world.call("POST", "/client_token/token", urlencode(GRANT).encode(), headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="keyturn", charset="UTF-8"')


@pytest.mark.parametrize("scheme", ["Basic ", "basic   ", "\tBASIC "])
def test_spaces_and_case_of_the_scheme_do_not_matter(world: World, scheme: str) -> None:
    pair = base64.b64encode(f"{CLIENT}:{world.issue('alice', 'bob')}".encode()).decode()
    headers = {"Content-Type": FORM, "Authorization": f"{scheme}{pair} "}
    answer = world.call("POST", "/client_token/token", urlencode(GRANT).encode(), headers)
    assert claims_of(world, answer)["client_id"] == CLIENT


def test_a_client_with_an_old_secret_learns_when_it_ends(world: World) -> None:
    first = world.issue("alice", "bob")
    assert "Sunset" not in post(world, GRANT, (CLIENT, first)).headers
    promoted_at = int(world.clock.now.timestamp())
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    answer = post(world, GRANT, (CLIENT, first))
    assert answer.headers["Deprecation"] == f"@{promoted_at + 3600}"
    assert parsedate_to_datetime(answer.headers["Sunset"]).timestamp() * 1000 == world.check(first)["not_after"]


def test_a_key_out_of_reach_is_temporary(world: World) -> None:
    secret = world.issue("alice", "bob")
    world.keys.disable(world.keys.mac.current())
    answer = post(world, GRANT, (CLIENT, secret))
    assert oauth_error(answer) == (503, "temporarily_unavailable")


def test_an_api_key_is_checked(world: World) -> None:
    key = world.issue("alice", "bob", client_id="key-integrations")
    verdict = world.check(key, "key-integrations")
    assert (verdict["accepted"], verdict["client_id"], verdict["state"]) == (True, "key-integrations", "current")
    assert verdict["not_after"] is None


@pytest.mark.parametrize("secret", ["9+k/Zp3w==", "100%25sure", "a%zz+b c"])
@pytest.mark.parametrize("encoded", [False, True], ids=["as_it_is", "form_encoded"])
def test_an_imported_secret_of_any_characters_is_good_by_basic(
    world: World,
    secret: str,
    encoded: bool,  # noqa: FBT001 - a case
) -> None:
    hashed = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode()
    world.operator("/imports", {"clients": [{"client_id": "old", "groups": [GROUP], "secret_hash": hashed}]})
    sent = quote_plus(secret) if encoded else secret
    for _ in range(2):  # the second time it is known
        assert claims_of(world, post(world, GRANT, ("old", sent)))["sub"] == "old"
    refused = post(world, GRANT, ("old", sent + "+"))
    assert oauth_error(refused) == (401, "invalid_client")


DOCUMENTS = ("oauth-authorization-server", "openid-configuration", "jwks.json")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_scripts_of_any_page_may_read_the_public_documents_only(world: World, name: str) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    answer = world.call("GET", f"/client_token/.well-known/{name}", headers=headers)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    for other in (post(world, GRANT), world.call("GET", "/client_token/check", headers=headers)):
        assert not [header for header, _ in other.headers if header.startswith("Access-Control")]


def test_both_metadata_documents_are_alike_and_have_no_empty_list(world: World) -> None:
    said = [cast("Any", world.call("GET", f"/client_token/.well-known/{name}").json) for name in DOCUMENTS[:2]]
    said += [cast("Any", world.call("GET", f"/.well-known/{name}/client_token").json) for name in DOCUMENTS[:2]]
    assert said == [said[0]] * 4
    assert said[0]["issuer"] == f"{URL}/client_token"
    assert [] not in said[0].values()
