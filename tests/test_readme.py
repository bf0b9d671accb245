"""The README: its session and requests are run, and its drawings, commands, verbs and links are held to the project."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from main import FUNCTIONS
from tests.local.real_machine import Machine
from tests.local.terminal import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
KEYTURN = [sys.executable, "-c", "from keyturn.cli.main import main; main()"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


FIRST_SCREEN = 30
"""Lines of a small terminal."""
CLOUD, ONE_MACHINE = blocks("text")[:2]
SESSION = [line.removeprefix("$ keyturn ") for line in blocks("console")[0].splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    running = Machine(tmp_path / "machine", authoriser="attested_admin")
    running.folder.mkdir()
    (running.folder / "keyturn").symlink_to(running.data)  # where a user's data would be
    running.start()
    running.wait_until_up()
    yield running
    running.end()


@pytest.fixture
def reader() -> Reader:
    return Reader()


def run(arguments: list[str], machine: Machine, folder: Path, reader: Reader, stdin: str = "") -> str:
    passphrase = folder / "passphrase"
    passphrase.write_text("a passphrase of the reader's\n")
    passphrase.chmod(0o600)
    environment = {
        **machine.environment,
        "XDG_DATA_HOME": str(machine.folder),
        "KEYTURN_URL": machine.url,
        "KEYTURN_HOME": str(folder / "home"),
        "KEYTURN_PASSPHRASE_FILE": str(passphrase),
    }
    command = [*KEYTURN, *arguments]
    if stdin:
        done = subprocess.run(  # noqa: S603 - our own program and the README's arguments
            command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
        )
    else:
        done = reader.run(command, environment, folder)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def play(lines: list[str], machine: Machine, folder: Path, reader: Reader) -> dict[str, str]:
    """Run lines of the session; a word in capitals stands for what an earlier line printed."""
    values: dict[str, str] = {}
    for line in lines:
        command, _, source = line.partition(" < ")
        arguments = [values.get(word, word) for word in shlex.split(command)]
        is_report = arguments[0] in {"rotate", "device"} and arguments[1] != "init"
        stdin = (folder / source).read_text() if source else ""
        output = run([*arguments, *(["--json"] if is_report else [])], machine, folder, reader, stdin)
        report = json.loads(output) if is_report else {}
        values |= {name: report[key] for name, key in (("CODE", "code"), ("ROTATION", "rotation_id")) if key in report}
    return values


def test_the_first_screen_has_the_two_commands() -> None:
    top = README.splitlines()[:FIRST_SCREEN]
    assert [line.split()[1] for line in top if line.startswith("make ")] == ["demo", "test"]


def test_the_cloud_is_drawn_first_and_with_every_function() -> None:
    assert set(re.findall(r"\w+", CLOUD)) >= set(FUNCTIONS)
    assert "keyturn up" in ONE_MACHINE
    assert README.index("## On Google Cloud") < README.index("## On one machine")


def test_the_session_runs_as_written(machine: Machine, tmp_path: Path, reader: Reader) -> None:
    values = play(SESSION, machine, tmp_path, reader)
    assert "acknowledged" in run(["rotation", "show", values["ROTATION"]], machine, tmp_path, reader)


def test_the_integrators_requests_are_answered(machine: Machine, tmp_path: Path, reader: Reader) -> None:
    play(SESSION[: SESSION.index("ack ROTATION") + 1], machine, tmp_path, reader)
    requests = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl")]
    answers = [
        subprocess.run(  # noqa: S603 - the README's own line
            ["/bin/sh", "-c", line.replace("http://127.0.0.1:8787", machine.url)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for line in requests
    ]
    token, check = map(json.loads, answers)
    assert token["token_type"] == "Bearer"
    assert check["accepted"] is True


def test_every_make_target_exists() -> None:
    verbs = set(re.findall(r"make (\w+)", README))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert verbs
    assert verbs <= targets


def test_every_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_is_in_the_help() -> None:
    done = subprocess.run([*KEYTURN, "--help"], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    named = {line.split()[0] for line in SESSION} | {"up", "demo"}
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", done.stdout)] == []
