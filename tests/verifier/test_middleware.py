"""Services behind the middleware, as docs/verifier.md shows them: WSGI, ASGI, and FastAPI's dependency."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from keyturn.domain.model import ClientKind
from keyturn.ports.effects import monotonic
from keyturn.ports.store import StoreUnavailable
from keyturn.verifier.failure_limits import FailureLimits
from keyturn.verifier.middleware.asgi import VERDICT as ASGI_VERDICT
from keyturn.verifier.middleware.asgi import AsgiGuard
from keyturn.verifier.middleware.credentials import FORM_LIMIT_BYTES, Guard, read_credentials
from keyturn.verifier.middleware.fastapi import Authenticated
from keyturn.verifier.middleware.wsgi import VERDICT, WsgiGuard
from keyturn.verifier.tokens import TokenChecker, TokenIssuer
from keyturn.verifier.verdict import Verdict
from keyturn.verifier.verifier import Caching, Verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.test import Client as WsgiClient

from tests.verifier.imported_hash import imported
from tests.verifier.stage import CountedMac, Stage
from tests.world import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from tests.world import World

FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Said:
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: Any


def orders(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Be a WSGI application that says who asked, and what the body was."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    size = int(environ.get("CONTENT_LENGTH") or 0)
    return [environ[VERDICT].client_id.encode(), b" ", environ["wsgi.input"].read(size)]


async def orders_async(request: Request) -> Response:
    """Be an ASGI endpoint that does the same."""
    client_id = request.scope["state"][ASGI_VERDICT].client_id
    return Response(client_id.encode() + b" " + await request.body())


def by_wsgi(guard: Guard) -> Callable[..., Said]:
    client = WsgiClient(WsgiGuard(orders, guard))

    def call(headers: Mapping[str, str], body: bytes = b"") -> Said:
        method = "POST" if body else "GET"
        environ = {"REMOTE_ADDR": "203.0.113.9"}
        answer = client.open("/orders", method=method, headers=dict(headers), data=body, environ_base=environ)
        return Said(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.text)

    return call


def by_asgi(guard: Guard) -> Callable[..., Said]:
    service = Starlette(routes=[Route("/orders", orders_async, methods=["GET", "POST"])])
    client = TestClient(AsgiGuard(service, guard), client=("203.0.113.9", 5))

    def call(headers: Mapping[str, str], body: bytes = b"") -> Said:
        answer = client.request("POST" if body else "GET", "/orders", headers=dict(headers), content=body)
        return Said(answer.status_code, dict(answer.headers), answer.text)

    return call


def by_dependency(guard: Guard) -> Callable[..., Said]:
    service = FastAPI()
    authenticated = Annotated[Verdict, Depends(Authenticated(guard))]

    async def endpoint(request: Request, verdict: Verdict) -> str:
        return verdict.client_id + " " + (await request.body()).decode()

    # By value: FastAPI finds no local name in what is postponed.
    endpoint.__annotations__.update(request=Request, verdict=authenticated)
    service.add_api_route("/orders", endpoint, methods=["GET", "POST"], response_class=PlainTextResponse)
    client = TestClient(service, client=("203.0.113.9", 5))

    def call(headers: Mapping[str, str], body: bytes = b"") -> Said:
        answer = client.request("POST" if body else "GET", "/orders", headers=dict(headers), content=body)
        return Said(answer.status_code, dict(answer.headers), answer.text)

    return call


WAYS = {"wsgi": by_wsgi, "asgi": by_asgi, "dependency": by_dependency}
EACH_WAY = pytest.mark.parametrize("way", WAYS)


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def guard_of(stage: Stage, limits: FailureLimits | None = None) -> Guard:
    return Guard(Verifier(stage.store, CountedMac(), stage.policy, failure_limits=limits))


@EACH_WAY
def test_every_way_to_carry_a_credential(way: str) -> None:
    stage = Stage()
    secret = stage.promote("acme")
    call = WAYS[way](guard_of(stage))
    form = f"client_id=acme&client_secret={secret}&order=7".encode()
    for headers, body in (
        (basic("acme", secret), b""),
        ({"X-Client-Id": "acme", "X-API-Key": secret}, b""),
        ({"Content-Type": FORM_TYPE}, form),
    ):
        said = call(headers, body)
        assert (said.status, said.body) == (200, f"acme {body.decode()}")
        assert said.headers["x-client-id"] == "acme"
        assert said.headers["x-client-version"] == stage.state("acme").client.current_version
        assert not {"deprecation", "sunset"} & said.headers.keys()


@EACH_WAY
def test_who_is_on_the_old_secret_is_told_until_when(way: str) -> None:
    stage = Stage()
    old = stage.promote("acme")
    stage.clock.seconds += 60
    stage.promote("acme", grace_seconds=3600)
    said = WAYS[way](guard_of(stage))(basic("acme", old))
    assert said.headers["deprecation"] == "@1772366460"
    assert said.headers["sunset"] == "Sun, 01 Mar 2026 13:01:00 GMT"


@EACH_WAY
def test_requests_without_one_good_credential_go_no_further(way: str) -> None:
    stage = Stage()
    secret = stage.promote("acme")
    call = WAYS[way](guard_of(stage))
    long = f"client_id=acme&client_secret={secret}&x=".encode() + b"x" * FORM_LIMIT_BYTES
    for headers, body in (
        ({}, b""),
        (basic("acme", "A" * 43), b""),
        (basic("nobody", secret), b""),
        ({"Authorization": "Basic !!!"}, b""),
        ({"Authorization": "Negotiate x"}, b""),
        ({"Authorization": f"Bearer {secret}"}, b""),
        ({**basic("acme", secret), "X-Client-Id": "acme", "X-API-Key": secret}, b""),
        ({"Content-Type": FORM_TYPE}, long),
        ({"Content-Type": FORM_TYPE}, b"client_id=acme&client_id=acme&client_secret=" + secret.encode()),
        ({"Content-Type": FORM_TYPE}, b"\xff\xfe"),
        ({"Content-Type": "text/plain"}, f"client_id=acme&client_secret={secret}".encode()),
    ):
        said = call(headers, body)
        assert (said.status, "unauthorized_request" in said.body) == (401, True)
        assert said.headers["www-authenticate"].startswith('Basic realm="keyturn"')
        assert secret not in said.body


@EACH_WAY
def test_a_guesser_waits_and_an_outage_is_no_refusal(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    secret = stage.promote("acme")
    call = WAYS[way](guard_of(stage, limits=FailureLimits(monotonic, burst=2)))
    statuses = [call(basic("acme", "A" * 43)).status for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert int(call(basic("acme", secret)).headers["retry-after"]) >= 1

    def down(_paths: object) -> None:
        raise StoreUnavailable("cut")

    monkeypatch.setattr(stage.store, "get", down)
    said = WAYS[way](guard_of(stage))(basic("acme", secret))
    assert (said.status, "unavailable" in said.body) == (503, True)


@EACH_WAY
def test_bearer_tokens_are_taken_where_they_are_checked(way: str, world: World) -> None:
    secret = world.issue("alice", "bob")
    suite = world.suite
    tokens: TokenIssuer = suite.verification.tokens
    verdict = suite.verification.verifier.check("acme-integrations", secret)
    assert verdict.kind is ClientKind.OAUTH2_CLIENT_SECRET
    token, _ = tokens.issue(verdict)
    checker = TokenChecker(suite.verification.verifier, lambda: tokens.jwks()["keys"], tokens.issuer, tokens.audience)
    call = WAYS[way](Guard(suite.verification.verifier, checker))
    assert call({"Authorization": f"Bearer {token}"}).status == 200
    refused = call({"Authorization": f"Bearer {token}x"})
    assert refused.status == 401
    assert "Bearer" in refused.headers["www-authenticate"]
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


@EACH_WAY
def test_who_makes_tokens_up_waits_and_who_has_a_kept_one_does_not(way: str, world: World) -> None:
    secret = world.issue("alice", "bob")
    caching = Caching(background=lambda _poll: None)
    limits = FailureLimits(monotonic, burst=2)
    verifier = Verifier(world.control, world.keys.mac, world.policy, caching=caching, failure_limits=limits)
    token, _ = world.suite.verification.tokens.issue(verifier.check("acme-integrations", secret))
    checker = TokenChecker(
        verifier, lambda: world.suite.verification.tokens.jwks()["keys"], f"{URL}/client_token", "keyturn"
    )
    call = WAYS[way](Guard(verifier, checker))
    good, made_up = ({"Authorization": f"Bearer {each}"} for each in (token, token + "x"))
    assert [call(each).status for each in (good, made_up, made_up, made_up)] == [200, 401, 401, 429]
    assert call(good).status == 200


@EACH_WAY
def test_who_is_not_for_what_is_wanted_is_told_so(way: str, world: World) -> None:
    world.add_client("reader", scopes=["orders.read", "orders.write"])
    secret, other = (world.issue("alice", "bob", client_id=name) for name in ("reader", "acme-integrations"))
    suite = world.suite.verification
    verdict = suite.verifier.check("reader", secret)
    wide, narrow = (suite.tokens.issue(verdict, scopes)[0] for scopes in (verdict.terms.scopes, ("orders.read",)))
    checker = TokenChecker(
        suite.verifier,
        suite.token_checker.keys,
        suite.tokens.issuer,
        suite.tokens.audience,
    )
    call = WAYS[way](Guard(suite.verifier, checker, scopes=("orders.write",)))
    for headers, status in (
        ({"Authorization": f"Bearer {wide}"}, 200),
        ({"Authorization": f"Bearer {narrow}"}, 403),
        (basic("reader", secret), 200),
        (basic("acme-integrations", other), 403),
    ):
        said = call(headers)
        assert said.status == status
        if status == 403:
            assert said.headers["www-authenticate"] == (
                'Bearer realm="keyturn", error="insufficient_scope", scope="orders.write"'
            )


def test_a_whole_fastapi_service_stands_behind_the_asgi_guard() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    service = FastAPI()
    service.add_api_route("/own", lambda: Response(b"made by hand"), methods=["GET"])
    said = TestClient(AsgiGuard(service, guard_of(stage))).get("/own", headers=basic("acme", secret))
    assert (said.text, said.headers["x-client-id"]) == ("made by hand", "acme")


def test_other_protocols_pass_or_are_closed_as_they_may_be() -> None:
    sent: list[Any] = []
    reached: list[str] = []

    async def app(scope: MutableMapping[str, Any], _receive: object, _send: object) -> None:
        reached.append(scope["type"])

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    async def receive() -> MutableMapping[str, Any]:
        return {}

    guard = AsgiGuard(app, guard_of(Stage()))
    asyncio.run(guard({"type": "lifespan"}, receive, send))
    asyncio.run(guard({"type": "websocket"}, receive, send))
    assert (reached, sent) == (["lifespan"], ["websocket.close"])


def test_what_is_presented_is_in_no_repr() -> None:
    found = read_credentials({"x-api-key": "the-secret", "authorization": "Bearer the-token"})
    assert "the-" not in repr(found)


def test_a_secret_by_basic_is_read_decoded_and_as_it_wotherwise() -> None:
    (ours,) = read_credentials({"authorization": basic("acme", "A" * 43)["Authorization"]})
    (found,) = read_credentials({"authorization": basic("acme", "the+secret")["Authorization"]})
    assert (ours.secret, ours.otherwise) == ("A" * 43, "")
    assert (found.secret, found.otherwise) == ("the secret", "the+secret")
    assert "the" not in repr(found)


def test_an_imported_secret_passes_as_it_is() -> None:
    stage = Stage()
    imported(stage, value="9+k/Zp3%41==")
    for sent in ("9+k/Zp3%41==", "9%2Bk%2FZp3%2541%3D%3D"):
        headers = {"authorization": basic("acme", sent)["Authorization"]}
        assert isinstance(guard_of(stage).decide(headers), Verdict)
