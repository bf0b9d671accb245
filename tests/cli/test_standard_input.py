"""Standard input as a pipe, shared by the commands of a script."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.local.terminal import Reader

if TYPE_CHECKING:
    from pathlib import Path

ASK = f"'{sys.executable}' -c 'from keyturn.cli.output import ask; print(ask(\"Code?\"))'"


def run(script: str) -> list[str]:
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.splitlines()


def test_each_command_of_a_script_takes_its_own_line() -> None:
    """A buffer of the first one would swallow the lines of the others."""
    assert run(f"printf '111111\\n 222222 \\nrest' | {{ {ASK}; {ASK}; cat; }}") == ["111111", "222222", "rest"]


def test_a_pipe_does_not_hide_the_terminal_of_the_session(tmp_path: Path) -> None:
    names = "has_terminal(), is_terminal()"
    look = f"echo x | '{sys.executable}' -c 'from keyturn.cli.standard_input import *; print({names})'"
    attended = Reader().run(["/bin/sh", "-c", look], os.environ, tmp_path)
    assert attended.stdout.split() == ["True", "False"]
    unattended = subprocess.run(  # noqa: S603 - ours
        ["/bin/sh", "-c", look], capture_output=True, text=True, check=True, start_new_session=True
    )
    assert unattended.stdout.split() == ["False", "False"]
