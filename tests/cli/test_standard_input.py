"""Standard input as a pipe, shared by the commands of a script, empty or closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = f"'{sys.executable}' -c 'from keyturn.cli.output import ask; print(ask(\"Code?\"))'"
READ = f"'{sys.executable}' -c 'from keyturn.cli.standard_input import read_all; print(read_all())'"
LOOK = f"'{sys.executable}' -c 'from keyturn.cli.standard_input import is_terminal; print(is_terminal())'"


def run(script: str) -> list[str]:
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.splitlines()


def test_each_command_of_a_script_takes_its_own_line() -> None:
    """A buffer of the first one would swallow the lines of the others."""
    assert run(f"printf '111111\\n 222222 \\nrest' | {{ {ASK}; {ASK}; cat; }}") == ["111111", "222222", "rest"]


@pytest.mark.parametrize(("command", "answer"), [(ASK, ""), (READ, "b''"), (LOOK, "False")])
def test_a_closed_input_is_an_empty_one(command: str, answer: str) -> None:
    assert run(f"{command} <&-") == [answer]
