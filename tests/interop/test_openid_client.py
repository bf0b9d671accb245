"""npm's openid-client, unmodified, against the real doors: metadata, both ways to authenticate, tokens and refusals."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.served import ASKER, AUDIENCE, CLIENT, Served, served

PROGRAM = Path(__file__).with_name("oauth_client.mjs")
SECONDS = 60
pytestmark = pytest.mark.tier("node")


def ran(at: Served, location: str) -> Any:  # noqa: ANN401 - what the program says
    """Run the program; what it is told, secrets too, comes by standard input."""
    told = {
        "issuer": at.issuer,
        "orders": at.orders,
        "client": CLIENT,
        "secret": at.secret,
        "asker": ASKER,
        "askerSecret": at.asker_secret,
        "location": location,
    }
    node = shutil.which("node") or "node"
    done = subprocess.run(  # noqa: S603 - our own program, no words of others
        [node, str(PROGRAM)], input=json.dumps(told), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr.replace(at.secret, "…").replace(at.asker_secret, "…")
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("location", "algorithm"),
    [
        ("", "ES256"),
        ("/.well-known/oauth-authorization-server", "RS256"),
        ("/.well-known/openid-configuration", "RS256"),
    ],
)
@pytest.mark.usefixtures("packages")
def test_openid_client_gets_uses_and_asks_about_tokens(tmp_path: Path, location: str, algorithm: str) -> None:
    with served(tmp_path, algorithm) as at:
        said = ran(at, at.issuer + location)
    assert said["issuer"]
    for way in ("basic", "post"):
        assert said[way]["token"] == {"type": "bearer", "expires": 600}  # it tells the type in lower case
        assert (said[way]["status"], said[way]["body"]) == (200, {"orders": [7], "client": CLIENT})
    told = said["introspection"]
    assert (told["active"], told["client_id"], told["aud"], told["scope"]) == (True, CLIENT, AUDIENCE, "orders.read")
    for way in ("basic", "post"):  # it reads the challenge before the body
        assert said["wrong"][way] == {"code": "OAUTH_WWW_AUTHENTICATE_CHALLENGE", "status": 401}
    assert said["wrong"]["scope"] == {"code": "OAUTH_RESPONSE_BODY_ERROR", "error": "invalid_scope", "status": 400}
