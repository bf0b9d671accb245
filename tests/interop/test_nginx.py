"""nginx in front of a service: `auth_request` asks `GET /check` about every request, as docs/http.md configures it."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import requests
from keyturn.local.server import HOST, Server

from tests.verifier.served import AUDIENCE, CLIENT, Served, served

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.tier("nginx")

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
SECONDS = 10
CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
{locations}
    }}
}}
"""


def orders(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Be a service without any checks of its own, that says which client the proxy named."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["HTTP_X_CLIENT_ID"].encode()]


def locations_of_the_page(check: str, service: str) -> str:
    """Return the locations that the page shows, for these addresses."""
    text = PAGE.read_text(encoding="utf-8").partition("```nginx\n")[2].partition("```")[0]
    assert "http://127.0.0.1:8787/client_token/check" in text
    # Tokens of this client are for an audience of their own.
    check += "?audience=" + quote(AUDIENCE, safe="")
    return text.replace("http://127.0.0.1:8787/client_token/check", check).replace("http://orders", service)


def free_port() -> int:
    with closing(socket.create_server((HOST, 0))) as found:
        return int(found.getsockname()[1])


@contextmanager
def proxied(folder: Path, at: Served) -> Iterator[str]:
    """Run nginx in front of the service, and return its address."""
    service = Server(0, orders)
    service.start()
    port, config = free_port(), folder / "nginx.conf"
    locations = locations_of_the_page(f"{at.issuer}/check", service.url)
    config.write_text(CONFIG.format(folder=folder, host=HOST, port=port, locations=locations), encoding="utf-8")
    program = shutil.which("nginx") or "nginx"
    words = [program, "-p", str(folder), "-c", str(config), "-e", "stderr"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:  # noqa: S603 - fixed words
        try:
            wait_for(port, process)
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()
            service.stop()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        with closing(socket.socket()) as caller:
            if caller.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("nginx does not listen")


def key(secret: str) -> dict[str, str]:
    return {"X-Client-Id": CLIENT, "X-API-Key": secret}


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()}


def test_nginx_passes_on_the_current_and_the_previous_key_and_refuses_the_rest(tmp_path: Path) -> None:
    with served(tmp_path / "world") as at, proxied(tmp_path, at) as url:
        older, newer = at.previous_secret, at.secret
        form = {"grant_type": "client_credentials"}
        token = requests.post(at.token_url, form, auth=(CLIENT, newer), timeout=SECONDS).json()["access_token"]
        accepted = [key(older), key(newer), basic(older), basic(newer), {"Authorization": f"bearer {token}"}]
        wrong = "A" * 43
        refused = [{}, key(wrong), basic(wrong), {**key(newer), **basic(newer)}, {"Authorization": "Bearer a.b.c"}]
        spoofed = {**basic(newer), "X-Client-Id": "somebody-else"}
        for headers in [*accepted, spoofed]:
            answer = requests.get(f"{url}/orders/7", headers=headers, timeout=SECONDS)
            assert (answer.status_code, answer.text) == (200, CLIENT)
        for headers in refused:
            answer = requests.get(f"{url}/orders/7", headers=headers, timeout=SECONDS)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith('Basic realm="keyturn"')
        posted = requests.post(f"{url}/orders/7", data=b"x" * 100, headers=key(newer), timeout=SECONDS)
        assert posted.status_code == 200
        at.world.clock.advance(hours=2)  # the grace of the older one is over
        assert requests.get(f"{url}/orders/7", headers=key(older), timeout=SECONDS).status_code == 401
        assert requests.get(f"{url}/orders/7", headers=key(newer), timeout=SECONDS).status_code == 200
