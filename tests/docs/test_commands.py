"""Every command line of `keyturn` in a page names a command that exists, with options that it takes."""

from __future__ import annotations

import copy
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import typer
from keyturn.cli import main as cli

from tests.docs.pages import PAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS_OF_ALL = {"--help", "--version", "--url", "--home", "--passphrase-file"}
WITHOUT_A_COMMAND = {"keyturn", "keyturn …"}


def command_lines(page: Path) -> list[str]:
    """Return the command lines in a page: those in blocks of a shell, and those between backticks."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^ *```(?:sh|console)\n(.*?)```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`(keyturn [^`]+)`", text)
    found = [re.search(r"(?:^|[|$] *)(keyturn [^#|<>]+)", line) for line in (*lines, *spans)]
    return sorted({" ".join(match[1].split()).replace("…", "x") for match in found if match} - WITHOUT_A_COMMAND)


@pytest.fixture(scope="module")
def root() -> Any:  # noqa: ANN401 - the framework keeps a click of its own
    app = copy.copy(cli.app)
    app.registered_commands, app.registered_groups = [*app.registered_commands], [*app.registered_groups]
    cli.register_local(app)
    return typer.main.get_command(app)


@pytest.mark.parametrize(
    ("page", "line"),
    [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in command_lines(page)],
)
def test_every_command_exists_and_takes_these_options(root: Any, page: str, line: str) -> None:  # noqa: ANN401 - as above
    words = shlex.split(line)[1:]
    command = root
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    named = {word.partition("=")[0] for word in words if word.startswith("--")}
    # A page may name a group of commands as a whole: then nothing follows it.
    assert not words or command is root or not hasattr(command, "commands"), (page, line)
    assert command is not root or set(words) <= OPTIONS_OF_ALL, (page, line)
    assert named <= options | OPTIONS_OF_ALL, (page, line)
