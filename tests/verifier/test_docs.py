"""What docs/verifier.md shows is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.testclient import TestClient
from werkzeug.test import Client as WsgiClient

from tests.world import CLIENT, URL

if TYPE_CHECKING:
    from tests.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "verifier.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_example_runs(world: World) -> None:
    secret = world.issue("alice", "bob")
    token, _ = world.suite.tokens.issue(world.suite.verifier.check(CLIENT, secret))
    given: dict[str, Any] = {
        "store": world.control,
        "usage": world.usage,
        "mac_key": world.keys.mac,
        "policy": world.policy,
        "jwks": cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json),
        "issuer": f"{URL}/client_token",
        "token": token,
    }
    for block in BLOCKS:
        exec(compile(block, "docs/verifier.md", "exec"), given)  # noqa: S102 - our own page
    headers = {"X-Client-Id": CLIENT, "X-API-Key": secret}
    assert WsgiClient(given["application"]).get("/", headers=headers).text == CLIENT
    assert TestClient(given["application_async"]).get("/", headers=headers).text == CLIENT
    assert given["client_id"] == CLIENT
    assert len(BLOCKS) == 4
