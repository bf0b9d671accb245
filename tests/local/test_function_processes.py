"""Each function in a process of its own: no secret in it, started again if it ends, and gone with its starter."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.policy import Policy
from keyturn.entry.config.settings import Settings, Stage
from keyturn.entry.functions import FUNCTIONS
from keyturn.local import function_processes
from keyturn.local.errors import LocalError
from keyturn.local.function_processes import function_environment, start_functions
from keyturn.local.server import HOST

from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-callers-environment"
STARTER = """
import json, os, sys
from pathlib import Path
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.function_processes import start_functions

with start_functions(Settings(Stage.LOCAL, Path(sys.argv[1])), os.environ) as processes:
    print(json.dumps({"host": processes.host.pid, "ports": processes.ports()}), flush=True)
    sys.stdin.read()
"""
REQUESTS = {
    "admin_proof": ("GET", "/.well-known/jwks.json", 200),
    "client_token": ("POST", "/client_token/check", 401),
    "distribute": ("POST", "/", 200),
    "enrol": ("POST", "/enrol", 400),
    "grace_sweeper": ("POST", "/", 200),
    "on_secret_version": ("POST", "/", 200),
    "operator": ("GET", "/clients", 200),
    "rotate_request": ("POST", "/", 400),
    "status": ("GET", "/clients/acme", 401),
}
"""One request that each function can answer alone, with and without its name in the path."""


@dataclass(frozen=True)
class Running:
    """The functions over a data folder, and the process that started them."""

    folder: Path
    starter: subprocess.Popen[Any]
    host: int
    ports: Mapping[str, int]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8")

    def ask(self, name: str) -> int:
        method, path, _ = REQUESTS[name]
        with closing(http.client.HTTPConnection(HOST, self.ports[name], timeout=30)) as connection:
            connection.request(method, path, b"{}" if method == "POST" else None)
            return connection.getresponse().status

    def processes(self) -> set[int]:
        """Return all live processes of the functions, the host included."""
        listing = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)  # noqa: S607 - POSIX
        rows = [line.split() for line in listing.stdout.splitlines()]
        return {int(pid) for pid, group, state in rows if int(group) == self.host and not state.startswith("Z")}

    def functions(self) -> list[int]:
        """Return the processes that the host has forked."""
        listing = subprocess.run(
            ["ps", "-eo", "pid=,ppid=,comm="],  # noqa: S607 - POSIX
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
        return [int(pid) for pid, parent, name in rows if int(parent) == self.host and name.startswith("python")]


@contextmanager
def start(folder: Path) -> Iterator[Running]:
    (folder / "data").mkdir()
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", STARTER, str(folder / "data")],
            env={**os.environ, "MY_SECRET": SECRET, "KEYTURN_AUDIENCE": "their-audience"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            text=True,
        ) as starter,
    ):
        assert starter.stdout is not None
        line = starter.stdout.readline()
        assert line, (folder / "log").read_text("utf-8")
        try:
            yield Running(folder, starter, **json.loads(line))
        finally:
            starter.kill()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("functions")) as running:
        yield running


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_answers_alone(running: Running, name: str) -> None:
    assert running.ask(name) == REQUESTS[name][2]


def test_each_function_is_a_process(running: Running) -> None:
    assert len(running.functions()) == len(FUNCTIONS) == len(set(running.ports.values()))


def test_no_secret_is_in_an_environment_or_an_argument(running: Running) -> None:
    keys = json.loads((running.folder / "data" / "keys.json").read_bytes())
    material = {text for text in _texts(keys) if len(text) > 30}
    assert material
    for pid in running.processes():
        visible = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert [text for text in (SECRET, *material) if text.encode() in visible] == []
    environment = Path(f"/proc/{running.host}/environ").read_bytes().split(b"\0")
    assert b"KEYTURN_STAGE=local" in environment


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def test_a_function_that_ends_is_reported_and_started_again(running: Running) -> None:
    before = set(running.functions())
    os.kill(min(before), signal.SIGKILL)
    report = until(
        lambda: re.search(r"the function (\w+) has ended \(exit status -9\) and is started again", running.log)
    )
    assert running.ask(report[1]) == REQUESTS[report[1]][2]  # it waits in the queue until the function is back
    after = set(running.functions())
    assert len(after) == len(FUNCTIONS)
    assert len(before & after) == len(FUNCTIONS) - 1


def test_all_of_them_end_in_order_with_their_starter(tmp_path: Path) -> None:
    with start(tmp_path) as running:
        processes = running.processes()
        assert len(processes) > len(FUNCTIONS)
        assert running.starter.stdin is not None
        running.starter.stdin.close()
        assert running.starter.wait(30) == 0
        assert running.processes() == set()
        assert running.log == ""


def test_all_of_them_end_with_a_starter_that_was_killed(tmp_path: Path) -> None:
    with start(tmp_path) as running:
        running.starter.kill()
        running.starter.wait(30)
        until(lambda: not running.processes())


def test_the_end_of_their_host_is_reported_and_they_answer_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with start_functions(Settings(Stage.LOCAL, tmp_path), os.environ) as processes:
        ports = processes.ports()
        os.kill(processes.host.pid, signal.SIGKILL)
        processes.watch(Event())
        running = Running(tmp_path, processes.host, processes.host.pid, ports)
        assert running.ask("client_token") == 401
    assert "are not started again" in caplog.text
    until(lambda: not running.processes())


def test_a_function_gets_settings_and_nothing_else() -> None:
    given = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "MY_SECRET": SECRET,
        "GOOGLE_APPLICATION_CREDENTIALS": SECRET,
        "KEYTURN_PASSPHRASE_FILE": SECRET,
        "KEYTURN_UNKNOWN": SECRET,
        "KEYTURN_DENIED": "mallory",
        "KEYTURN_POLICY_GRACE_SECONDS": "60",
        "KEYTURN_STAGE": "production",
    }
    settings = Settings(Stage.LOCAL, Path("/data"), policy=Policy(minimum_interval_seconds=1))
    environment = function_environment(settings, given)
    assert SECRET not in environment.values()
    kept = {name: environment[name] for name in given if name in environment}
    assert kept == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "KEYTURN_DENIED": "mallory",
        "KEYTURN_POLICY_GRACE_SECONDS": "60",
        "KEYTURN_STAGE": "local",
    }
    assert environment["KEYTURN_POLICY_MINIMUM_INTERVAL_SECONDS"] == "1"


def test_functions_that_do_not_start_are_an_error_with_the_reason_above(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keyturn").mkdir()
    (tmp_path / "keyturn" / "__init__.py").write_text("raise ImportError('no such part')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with (
        start_functions(Settings(Stage.LOCAL, tmp_path), environment) as processes,
        pytest.raises(LocalError, match="does not start"),
    ):
        processes.ports()
    assert "no such part" in capfd.readouterr().err


def test_an_installed_package_says_that_it_needs_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_processes, "SOURCE", tmp_path / "main.py")
    with pytest.raises(LocalError) as refused, start_functions(Settings(Stage.LOCAL, tmp_path), {}):
        pass
    assert "clone" in refused.value.hint
