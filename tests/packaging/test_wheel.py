"""Wheel and source distribution, as `make wheel` builds them, in virtual environments of their own."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keyturn
import pytest
from keyturn.local.package import ROOT

from tests.world import CLIENT

if TYPE_CHECKING:
    from tests.world import World

pytestmark = pytest.mark.xdist_group("packaging")

PROGRAMS = Path(sys.executable).parent
UV = str(PROGRAMS / "uv")
FRAMEWORKS = {"flask", "functions-framework", "starlette", "werkzeug"}
COMMAND_LINE = {"click", "rich", "segno", "typer"}
SERVICE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "verifier.md").read_text("utf-8"), re.DOTALL)[0]
"""The FastAPI service that docs/verifier.md begins with."""

CALL_SERVICE = """
import asyncio, json, sys
from service import service

async def call(headers):
    sent = []
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        sent.append(message)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/orders"}
    scope |= {"raw_path": b"/orders", "query_string": b"", "headers": pairs, "root_path": ""}
    await service(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()

print(json.dumps([asyncio.run(call(headers)) for headers in json.loads(sys.argv[1])]))
"""


@dataclass(frozen=True)
class Built:
    """The two distributions."""

    wheel: Path
    source: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True, timeout=300)  # noqa: S603 - fixed words
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, source)


def test_the_wheel_installs_one_package_which_is_typed(built: Built) -> None:
    wheel = zipfile.ZipFile(built.wheel)
    info = f"keyturn-{keyturn.__version__}.dist-info"
    assert wheel.read(f"{info}/top_level.txt").decode().split() == ["keyturn"]
    assert {name.split("/")[0] for name in wheel.namelist()} == {"keyturn", info}
    other = {name for name in wheel.namelist() if name.startswith("keyturn/") and not name.endswith(".py")}
    assert "keyturn/py.typed" in other
    assert {name for name in other if not name.endswith(".sql")} == {"keyturn/py.typed"}


def test_the_wheel_holds_every_module_of_the_checkout_and_its_data_files(built: Built) -> None:
    source = ROOT / "shared"
    here = {path.relative_to(source).as_posix() for path in (source / "keyturn").rglob("*") if path.is_file()}
    wanted = {name for name in here if not name.endswith((".pyc", ".md"))}
    assert {name for name in zipfile.ZipFile(built.wheel).namelist() if name.startswith("keyturn/")} == wanted


def test_the_source_distribution_holds_what_a_build_needs_and_nothing_else_of_a_clone(built: Built) -> None:
    with tarfile.open(built.source) as source:
        names = {member.name.partition("/")[2] for member in source.getmembers() if member.isfile()}
    assert {name.split("/")[0] for name in names} == {
        "CHANGELOG.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "shared",
    }  # fmt: skip
    assert {name.split("/")[1] for name in names if name.startswith("shared/")} == {"keyturn", "keyturn.egg-info"}


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel and some extras, and an empty folder to work in."""

    folder: Path

    def environment(self, **settings: str) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder.parent), **settings}

    def run(self, program: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - programs of the environment, and words of ours
            [str(self.folder / "bin" / program), *arguments],
            cwd=self.folder.parent,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def distributions(self) -> set[str]:
        program = "import importlib.metadata as m; print(*(item.name.lower() for item in m.distributions()))"
        return set(self.run("python", "-c", program).stdout.split())


def install(folder: Path, built: Built, *extras: str) -> Installed:
    """Install the wheel as a user does, with the versions that the tests run on."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    python = str(folder / "venv" / "bin" / "python")
    wheel = f"keyturn[{','.join(extras)}] @ {built.wheel.as_uri()}" if extras else str(built.wheel)
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        ["pip", "install", "--quiet", "--python", python, "--constraint", str(ROOT / "requirements/dev.txt"), wheel],
    ):
        subprocess.run([UV, *command], check=True, timeout=300, env=environment)  # noqa: S603 - fixed words
    return Installed(folder / "venv")


def test_the_base_requires_cryptography_alone_and_names_the_extra_of_the_command_line(
    built: Built, tmp_path: Path
) -> None:
    installed = install(tmp_path, built)
    assert installed.distributions() == {"cffi", "cryptography", "keyturn", "pycparser"}
    done = installed.run("keyturn", "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1] == "hint: pip install 'keyturn[cli]'"


def test_the_verifier_brings_no_framework_no_google_client_and_no_command_line(built: Built, tmp_path: Path) -> None:
    installed = install(tmp_path, built, "verifier")
    brought = installed.distributions()
    assert brought & (FRAMEWORKS | COMMAND_LINE) == set()
    assert [name for name in brought if name.startswith(("google", "grpc", "firebase"))] == []
    names = "Verifier, Verdict, Guard, WsgiGuard, AsgiGuard, TokenChecker"
    done = installed.run("python", "-c", f"from keyturn.verifier import {names}; print(Verifier.from_environment)")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.world("alice", "bob", kind="sqlite")
def test_the_fastapi_service_of_the_documentation_runs_and_type_checks(
    built: Built, tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    secret = world.issue("alice", "bob")
    installed = install(tmp_path_factory.mktemp("service"), built, "verifier", "fastapi")
    (installed.folder.parent / "service.py").write_text(SERVICE, encoding="utf-8")
    basic = base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()
    requests = [
        {"authorization": f"Basic {basic}"},
        {"x-client-id": CLIENT, "x-api-key": secret},
        {"x-client-id": CLIENT, "x-api-key": "A" * 43},
        {},
    ]
    settings = {"KEYTURN_STAGE": "local", "KEYTURN_DATA": str(world.folder)}
    done = installed.run("python", "-c", CALL_SERVICE, json.dumps(requests), **settings)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [status for status, _body in answers] == [200, 200, 401, 401]
    assert [json.loads(body) for _status, body in answers[:2]] == [CLIENT, CLIENT]
    checked = subprocess.run(  # noqa: S603 - fixed words
        [
            str(PROGRAMS / "mypy"),
            "--strict",
            "--config-file=",
            "--cache-dir=mypy-cache",
            f"--python-executable={installed.folder / 'bin' / 'python'}",
            "service.py",
        ],
        cwd=installed.folder.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_demo_runs_without_a_checkout(built: Built, tmp_path: Path) -> None:
    installed = install(tmp_path, built, "cli", "server")
    assert [name for name in installed.distributions() if name.startswith(("google", "grpc", "firebase"))] == []
    done = installed.run("keyturn", "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["venv"]


def test_the_command_line_alone_names_the_extra_of_the_server(built: Built, tmp_path: Path) -> None:
    installed = install(tmp_path, built, "cli")
    assert installed.run("keyturn", "--version").stdout.strip() == f"keyturn {keyturn.__version__}"
    done = installed.run("keyturn", "up")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "hint: pip install 'keyturn[cli,server]'"
