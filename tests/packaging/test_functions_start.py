"""The archive, in an empty virtual environment that has requirements.txt and nothing else: every function answers."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.local.package import write

from main import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("packaging")

REQUESTS = {
    "admin_proof": ("GET", "/.well-known/jwks.json", 200),
    "client_token": ("GET", "/.well-known/jwks.json", 200),
    "distribute": ("POST", "/", 200),
    "enrol": ("POST", "/", 400),
    "grace_sweeper": ("POST", "/", 200),
    "on_secret_version": ("POST", "/", 200),
    "operator": ("GET", "/clients", 200),
    "rotate_request": ("POST", "/", 400),
    "status": ("GET", "/clients/acme", 401),
}
"""One request that each function can answer by itself, on an empty data folder. IAM guards the operator's."""

IMPORT_ALL = """
import importlib, pathlib, sys
sys.path.insert(0, "shared")
sys.path.insert(0, ".")
modules = [
    path.relative_to(root)
    for root, name in ((".", "functions"), ("shared", "keyturn"))
    for path in pathlib.Path(root, name).rglob("*.py")
]
for path in sorted(modules):
    importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
"""


@dataclass(frozen=True)
class Unpacked:
    """Where the archive was unpacked, and the programs of its environment."""

    folder: Path
    programs: Path

    def environment(self, **settings: str) -> dict[str, str]:
        return {"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": str(self.folder.parent), **settings}


@dataclass(frozen=True)
class Answer:
    status: int
    kind: str
    body: dict[str, Any]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    room = tmp_path_factory.mktemp("packaging")
    zipfile.ZipFile(write(room / "build")).extractall(room / "source")
    uv, python = str(Path(sys.executable).with_name("uv")), str(room / "venv" / "bin" / "python")
    requirements = str(room / "source" / "requirements.txt")
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(room / "venv")],
        ["pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", requirements],
    ):
        subprocess.run([uv, *command], check=True, timeout=300)  # noqa: S603 - fixed words
    return Unpacked(room / "source", room / "venv" / "bin")


@contextmanager
def _served(unpacked: Unpacked, function: str, environment: dict[str, str]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [
        str(unpacked.programs / "functions-framework"),
        "--target",
        function,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(  # noqa: S603 - the framework that the archive brings, and a name of ours
        command, cwd=unpacked.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            yield port
        finally:
            server.terminate()
            server.wait(timeout=30)


def _ask(port: int, method: str, path: str) -> Answer:
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, path, body=b"{}", headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get_content_type(), json.loads(answer.read()))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def test_every_module_of_the_archive_finds_what_it_imports(unpacked: Unpacked) -> None:
    python = [str(unpacked.programs / "python"), "-I", "-c", IMPORT_ALL]
    done = subprocess.run(python, cwd=unpacked.folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_function_of_the_archive_has_a_request_here() -> None:
    assert set(REQUESTS) == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_starts_and_answers(unpacked: Unpacked, function: str, tmp_path: Path) -> None:
    method, path, status = REQUESTS[function]
    environment = unpacked.environment(KEYTURN_STAGE="local", KEYTURN_DATA=str(tmp_path / "data"))
    with _served(unpacked, function, environment) as port:
        answer = _ask(port, method, path)
    assert answer.status == status, answer.body
    assert answer.kind == ("application/json" if status == 200 else "application/problem+json")


def test_a_function_without_settings_answers_a_problem_that_reveals_nothing(unpacked: Unpacked) -> None:
    with _served(unpacked, "grace_sweeper", unpacked.environment()) as port:
        answer = _ask(port, "POST", "/")
    assert (answer.status, answer.body["error"]) == (503, "unavailable")
    assert "KEYTURN" not in json.dumps(answer.body)
