"""Every command in hostile surroundings: a sentence and an exit code, and never a traceback.

The commands come from the command tree. Each runs in a forked process: over the real functions, with a device that is
enrolled, and with what it changes gone at its end.
"""

from __future__ import annotations

import gc
import io
import os
import pwd
import re
import shutil
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
import typer
from keyturn.cli.main import app, register_local, run
from typer.main import get_command

from tests.cli.shell import PASSPHRASE, Shell
from tests.world import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG_RUNNING = {"up", "demo"}
"""Commands that serve until they are stopped: tests/local tries them."""
DEADLINE_SECONDS = 60


def leaf_commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command without commands below it, with its words."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - of the framework
        below = getattr(command, "commands", None)
        if below is None:
            yield words, command
        for name, item in (below or {}).items():
            yield from walk(item, (*words, name))

    root = typer.Typer()
    root.registered_groups, root.registered_commands = [*app.registered_groups], [*app.registered_commands]
    register_local(root)
    yield from walk(get_command(root), ())


COMMANDS = {" ".join(words): command for words, command in leaf_commands() if words[0] not in LONG_RUNNING}


@dataclass
class Run:
    """What a command left behind."""

    code: int
    errors: str


def close(descriptor: int) -> Callable[[], None]:
    return lambda: os.close(descriptor)


def fill(descriptor: int) -> Callable[[], None]:
    return lambda: _replace(descriptor, os.open("/dev/full", os.O_WRONLY))


def close_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    _replace(1, writer)


def close_all() -> None:
    for descriptor in (0, 1, 2):
        os.close(descriptor)


def _replace(descriptor: int, by: int) -> None:
    os.dup2(by, descriptor)
    os.close(by)


def use_ascii() -> None:
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), encoding="ascii")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), encoding="ascii")


def lose_home() -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        os.environ.pop(name, None)
    pwd.getpwuid = _unknown_user  # type: ignore[assignment]  # as for a user id that the system does not know


def _unknown_user(_uid: int) -> None:
    raise KeyError


def block_folders() -> None:
    # A file is in the way: root, as which tests may run, may write any folder.
    os.environ.update(HOME="/dev/null", XDG_STATE_HOME="/dev/null", XDG_DATA_HOME="/dev/null")


ENVIRONMENTS: dict[str, Callable[[], None]] = {
    "stdin closed": close(0),
    "stdout closed": close(1),
    "stderr closed": close(2),
    "all closed": close_all,
    "stdout full": fill(1),
    "stderr full": fill(2),
    "closed pipe": close_pipe,
    "ascii terminal": use_ascii,
    "no home": lose_home,
    "unwritable folders": block_folders,
}
LOSES_OUTPUT = {"stdout closed", "stdout full", "closed pipe"}
SILENT = {"stderr closed", "all closed", "stderr full"}
"""Surroundings in which no error can be read."""


class Stage:
    """An enrolled device with a rotation in its inbox, and commands that run as processes of their own."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        rotation = shell.json("rotate", "acme", "--reason", "routine", "--yes")["rotation_id"]
        self.secret = shell.server.secrets[rotation]
        hashed = bcrypt.hashpw(b"old", bcrypt.gensalt(4)).decode()
        table = shell.folder / "clients.csv"
        table.write_text(f"client_id,secret_hash,groups\nold,{hashed},ops\n")
        self.arguments = {
            "client_id": "acme",
            "group": "ops",
            "user": "alice",
            "rotation_id": rotation,
            "file": str(table),
            "invite": "0" * 64,
            "code": "not-a-code",
            "version": "local/mac/1",
            "event_id": "0" * 16,
            "purpose": "mac",
        }

    def words(self, name: str, command: Any) -> list[str]:  # noqa: ANN401 - of the framework
        """Return a command line with everything that the command requires."""
        words = [*name.split(), *(["--json"] if any("--json" in item.opts for item in command.params) else [])]
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                words.append(self.arguments[parameter.name])
            elif parameter.required:
                words += [
                    parameter.opts[0],
                    {"--reason": "routine", "--name": "laptop"}.get(parameter.opts[0], "alice"),
                ]
        return words + (["--yes"] if any("--yes" in item.opts for item in command.params) else [])

    def run(self, words: list[str], surroundings: str) -> Run:
        """Run a command in a child process, and return its exit code and what it wrote to stderr."""
        home = self.shell.folder / "copy"
        shutil.copytree(self.shell.folder / "alice", home)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            self._become(words, surroundings, home, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            errors = stream.read().decode("utf-8", "replace")
        _, status = os.waitpid(child, 0)
        shutil.rmtree(home)
        return Run(os.waitstatus_to_exitcode(status), errors)

    def _become(self, words: list[str], surroundings: str, home: Path, writer: int) -> None:
        code = 70
        # Garbage of the test process would be collected here at any time, and close descriptors that are in use again.
        gc.disable()
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(DEADLINE_SECONDS)
            os.dup2(writer, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                stream = io.TextIOWrapper(io.FileIO(number, "rb" if number == 0 else "wb", closefd=False), "utf-8")
                setattr(sys, name, stream)
            state = {
                "XDG_STATE_HOME": str(self.shell.folder / "state"),
                "XDG_DATA_HOME": str(self.shell.folder / "data"),
            }
            os.environ.update(state)
            ENVIRONMENTS[surroundings]()
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                try:
                    os.fstat(number)
                except OSError:
                    setattr(sys, name, None)  # as Python has it where the descriptor is closed
            options = ["--url", URL, "--home", str(home), "--passphrase-file", str(self.shell.folder / "passphrase")]
            run([*options, *words], replace(self.shell.ports(terminal=False), environment=os.environ))
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # noqa: BLE001 - the child must not return into the test
            import traceback

            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(code)


@pytest.fixture
def stage(enrolled: Shell) -> Stage:
    return Stage(enrolled)


@pytest.mark.parametrize("surroundings", ENVIRONMENTS)
def test_every_command_ends_with_a_sentence(stage: Stage, surroundings: str) -> None:
    faults = []
    for name, command in COMMANDS.items():
        run = stage.run(stage.words(name, command), surroundings)
        has_crashed = run.code not in {0, 1, 2} or "Traceback" in run.errors or "Exception" in run.errors
        is_silent = run.code and surroundings not in SILENT and not re.search("error: |refused", run.errors)
        has_leaked = stage.secret in run.errors or PASSPHRASE in run.errors
        if has_crashed or is_silent or has_leaked:
            faults.append((name, run))
    assert faults == []


@pytest.mark.parametrize("surroundings", sorted(LOSES_OUTPUT))
def test_output_that_is_lost_is_no_success(stage: Stage, surroundings: str) -> None:
    for words in (["client", "show", "acme"], ["inbox", "--json"], ["admin", "list", "--json"], ["--version"]):
        run = stage.run(words, surroundings)
        assert run.code == 1, (words, run)
        assert "error: The output can't be written: " in run.errors
