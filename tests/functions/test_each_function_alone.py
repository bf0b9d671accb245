"""Each function as deployed, under functions-framework, behind both kinds of front end: name removed, name kept."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import functions_framework
import pytest
from keyturn.entry.functions import FUNCTIONS
from keyturn.proofs.nip98 import sign_authorization
from werkzeug.test import Client

from tests.functions.attested import Person, admins, admitted, invite, refusal
from tests.world import CLIENT, GROUP, URL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tests.world import World

SOURCE = str(Path(__file__).parents[2] / "main.py")
DEPLOYED: dict[str, WSGIApplication] = {
    name: functions_framework.create_app(target=name, source=SOURCE)  # type: ignore[no-untyped-call]  # the framework has no types
    for name in FUNCTIONS
}
OTHER = {"status": "enrol", "enrol": "admin_proof", "admin_proof": "status"}
SIGNED = [
    ("GET", "status", f"/clients/{CLIENT}"),
    ("GET", "status", f"/groups/{GROUP}/messages?after=0"),
    ("POST", "enrol", "/registration"),
    ("POST", "enrol", "/registration/confirm"),
    ("POST", "admin_proof", "/proof"),
]
"""A route of each function that takes signed requests (NIP-98)."""

UNSIGNED = {
    "admin_proof": ("GET", "/.well-known/jwks.json", 200),
    "client_token": ("POST", "/check", 401),
    "distribute": ("POST", "", 200),
    "enrol": ("POST", "", 400),
    "grace_sweeper": ("POST", "/", 200),
    "on_secret_version": ("POST", "/", 200),
    "operator": ("GET", f"/clients/{CLIENT}", 200),
    "rotate_request": ("POST", "/", 400),
    "status": ("GET", f"/clients/{CLIENT}", 401),
}


@dataclass(frozen=True)
class FrontEnd:
    """All functions at one address, each behind its own framework. `keeps_name` says which paths they get."""

    keeps_name: bool

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name, _, path = environ["PATH_INFO"].removeprefix("/").partition("/")
        given = environ if self.keeps_name else {**environ, "PATH_INFO": f"/{path}"}
        return DEPLOYED[name](given, start_response)


@pytest.fixture(params=[False, True], ids=["name removed", "name kept"])
def front(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Have the world, its devices and its admins call the deployed functions."""
    client = Client(FrontEnd(request.param))
    monkeypatch.setattr("tests.world.gateway", lambda: client)
    return client


def signed(world: World, method: str, url: str) -> dict[str, str]:
    body = b"{}" if method == "POST" else None
    key = world.admins["alice"].signer.private_key
    header = sign_authorization(key, url=url, method=method, body=body, now=world.clock.now, random=os.urandom)
    return {"Authorization": header}


def test_every_function_is_asked_here() -> None:
    assert set(UNSIGNED) == set(FUNCTIONS)


@pytest.mark.world("alice")
@pytest.mark.parametrize("name", UNSIGNED)
def test_a_function_answers_an_unsigned_request(world: World, front: Client, name: str) -> None:
    method, path, status = UNSIGNED[name]
    answer = front.open(f"/{name}{path}", method=method, data=b"{}" if method == "POST" else b"")
    assert answer.status_code == status, answer.text
    unknown = front.open(f"/{name}/no/such/path", method=method)
    assert refusal(unknown) == (404, "unknown_path")
    assert world.documents()


@pytest.mark.world("alice")
@pytest.mark.parametrize(("method", "name", "path"), SIGNED)
def test_a_signature_is_for_the_public_url_in_both_forms(
    world: World, front: Client, method: str, name: str, path: str
) -> None:
    def ask(url: str) -> tuple[int, str]:
        body = b"{}" if method == "POST" else b""
        return refusal(front.open(f"/{name}{path}", method=method, data=body, headers=signed(world, method, url)))

    status, reason = ask(f"{URL}/{name}{path}")
    assert (status, reason) == (200, "None") if name == "status" else reason not in {"wrong_url", "unknown_path"}
    for wrong in (
        f"{URL}{path}",
        f"{URL}/{OTHER[name]}{path}",
        f"{URL}/{name}/{name}{path}",
        f"https://other.example/{name}{path}",
        f"{URL}/{name}{path}/",
    ):
        assert ask(wrong) == (401, "wrong_url"), wrong


@pytest.mark.world("alice")
@pytest.mark.parametrize(("method", "name", "path"), SIGNED)
def test_a_signature_for_a_doubled_name_opens_nothing(
    world: World, front: Client, method: str, name: str, path: str
) -> None:
    doubled = f"/{name}/{name}{path}"
    body = b"{}" if method == "POST" else b""
    answer = front.open(doubled, method=method, data=body, headers=signed(world, method, f"{URL}{doubled}"))
    # Where the front end removed one name, the function cannot tell this path from one that kept it.
    assert refusal(answer) in {(404, "unknown_path"), (401, "wrong_url")}


@pytest.mark.world("alice", "bob")
@pytest.mark.usefixtures("front")
def test_a_rotation_passes_through_the_deployed_functions(world: World) -> None:
    secret = world.issue("alice", "bob")
    assert world.check(secret)["accepted"] is True
    assert "settled" in json.dumps(world.sweep())


@pytest.mark.world(founded=False, attested=True)
@pytest.mark.usefixtures("front")
def test_an_admin_registers_and_proves_through_the_deployed_functions(world: World) -> None:
    world.operator("/groups", {"group_id": GROUP})
    alice = Person(world, "alice").enrol(invite(world, "alice")["code"])
    admitted(world, "bob", alice)  # alice's approval takes a proof of `admin_proof`
    assert admins(world) == {"alice": "active", "bob": "active"}
