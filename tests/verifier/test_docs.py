"""What docs/verifier.md shows is run."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.error import HTTPError

import pytest
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.local.gateway import open_gateway
from starlette.testclient import TestClient
from werkzeug.serving import make_server
from werkzeug.test import Client as WsgiClient

from tests.world import CLIENT, QUICK, TOKEN, URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "verifier.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
(INSTANCE,) = re.findall(r"```py\n(.*?)```", PAGE, flags=re.DOTALL)
"""What an integrator's instance runs: it has nothing of ours at hand."""


@pytest.mark.world(founded=False, kind="sqlite")
def test_every_example_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = world.issue("alice", "bob")
    token, _ = world.suite.verification.tokens.issue(world.suite.verification.verifier.check(CLIENT, secret))
    monkeypatch.setenv("KEYTURN_STAGE", "local")
    monkeypatch.setenv("KEYTURN_DATA", str(world.folder))
    names: dict[str, Any] = {
        "jwks": cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json),
        "issuer": f"{URL}/client_token",
        "token": token,
    }
    # The store's clock stands still in 2026, and tokens are short-lived: the examples run under the world's clock.
    monkeypatch.setattr(SqliteStore, "__init__", partialmethod(SqliteStore.__init__, clock=world.clock))
    for block in BLOCKS:
        exec(compile(block, "docs/verifier.md", "exec"), names)  # noqa: S102 - our own page
    headers = {"X-Client-Id": CLIENT, "X-API-Key": secret}
    assert WsgiClient(names["application"]).get("/", headers=headers).text == CLIENT
    assert TestClient(names["application_async"]).get("/", headers=headers).text == CLIENT
    by_dependency = TestClient(names["service"]).get("/orders", headers=headers)
    assert (by_dependency.json(), by_dependency.headers["x-client-id"]) == (CLIENT, CLIENT)
    assert names["client_id"] == CLIENT
    assert len(BLOCKS) == 4


def test_a_service_is_fifteen_lines_at_most_and_imports_nothing_but_the_facade() -> None:
    assert sum(bool(line.strip()) for line in BLOCKS[0].splitlines()) <= 15
    imported = {
        match for block in BLOCKS for match in re.findall(r"^(?:from|import) (keyturn\S*)", block, re.MULTILINE)
    }
    assert imported == {"keyturn.verifier"}


def test_the_client_for_an_instance_is_twenty_lines_at_most() -> None:
    assert sum(bool(line.strip()) for line in INSTANCE.splitlines()) <= 20


def test_an_instance_proves_with_the_client_on_the_page_over_http(world: World) -> None:
    world.serve(replace(QUICK, canaries=1))
    world.issue("alice", "bob")
    answer = world.send(world.admins["alice"].rotation()).json or {}
    world.pump()
    ids = [str(answer["rotation_id"]), str(answer["version_id"])]
    secret = world.admins["alice"].secret(ids[0])
    given: dict[str, Any] = {}
    exec(compile(INSTANCE, "docs/verifier.md", "exec"), given)  # noqa: S102 - our own page
    with served() as url:
        told = given["prove"](f"{url}/client_token", secret, CLIENT, *ids, "pod-1")
        with pytest.raises(HTTPError) as refused:
            given["prove"](f"{url}/client_token", "A" * 43, CLIENT, *ids, "pod-1")
    assert (told["canaries"], told["canaries_required"]) == (1, 1)
    assert refused.value.status == 401
    refused.value.close()


@contextmanager
def served() -> Iterator[str]:
    """Serve all doors on a port, while the context lasts."""
    server = make_server("127.0.0.1", 0, open_gateway(TOKEN), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
