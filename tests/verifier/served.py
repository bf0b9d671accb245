"""A world behind real sockets: the doors at one address, a service that takes their tokens at another."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from keyturn.entry.composition import suite as wiring
from keyturn.local.gateway import open_gateway
from keyturn.local.server import Server
from keyturn.verifier.middleware.credentials import Guard
from keyturn.verifier.middleware.wsgi import VERDICT, WsgiGuard
from keyturn.verifier.tokens import TokenChecker

from tests.world import TOKEN, World, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CLIENT = "acme.integrations~eu"
"""An id whose characters form-encoding may change (RFC 6749 §2.3.1)."""
AUDIENCE = "https://orders.example"
SCOPES = ["orders.read", "orders.write"]
ASKER = "orders-api"


@dataclass
class Served:
    """Addresses without a slash at the end, and credentials; `orders` wants a token for `orders.read`."""

    world: World
    issuer: str
    orders: str
    secret: str = field(repr=False)
    asker_secret: str = field(repr=False)
    previous_secret: str = field(repr=False)
    """In grace since `secret` was promoted."""

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    def revoke(self) -> None:
        """Kill the version that every token rests on."""
        version = self.world.document(f"oauth2_clients/{CLIENT}")["current_version"]
        fields = {"version_id": version, "force": True}
        answer = self.world.send(self.world.admins["alice"].action("revoke", fields, client_id=CLIENT))
        assert answer.status_code == 200, answer.text


@contextmanager
def served(folder: Path, algorithm: str = "ES256") -> Iterator[Served]:
    with running(folder, "sqlite") as world:
        world.found("alice", "bob")
        world.add_client(CLIENT, audience=AUDIENCE, scopes=SCOPES, algorithm=algorithm)
        world.add_client(ASKER, introspects=[AUDIENCE])
        previous, secret, asker_secret = (
            world.issue("alice", "bob", client_id=name) for name in (CLIENT, CLIENT, ASKER)
        )
        with _listening(open_gateway(TOKEN)) as doors:
            checker = _at(world, doors)
            with _listening(WsgiGuard(_orders, Guard(checker.verifier, checker, scopes=SCOPES[:1]))) as orders:
                yield Served(world, checker.issuer, f"{orders}/orders", secret, asker_secret, previous)


def _at(world: World, url: str) -> TokenChecker:
    """Have the doors know their address, and return what a service checks their tokens with."""
    before = world.suite
    world.suite = replace(before, settings=replace(before.settings, base_url=url))
    wiring.use(world.suite)
    suite = world.suite.verification
    return TokenChecker(
        suite.verifier,
        lambda: suite.tokens.jwks()["keys"],
        suite.tokens.issuer,
        AUDIENCE,
    )


@contextmanager
def _listening(application: WSGIApplication) -> Iterator[str]:
    server = Server(0, application)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def _orders(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"orders": [7], "client": environ[VERDICT].client_id}).encode()]
