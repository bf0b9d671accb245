"""The help texts: every command, argument and option says what it does, in whole sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer
from keyturn.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(command: Any, path: str = "keyturn") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - the framework's
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_and_its_parameters_have_help_in_sentences(path: str) -> None:
    texts = {path: COMMANDS[path].help}
    texts |= {parameter.name: parameter.help for parameter in COMMANDS[path].params}
    assert [name for name, text in texts.items() if not text or (not text[0].isupper() and ":" not in text)] == []
    assert [name for name, text in texts.items() if text and not text.rstrip().endswith(".")] == []
    assert [name for name, text in texts.items() if text and ";" in text] == []
