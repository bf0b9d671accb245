"""The help texts: every command, argument and option says what it does, in whole sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer
from keyturn.cli.main import app, register_local

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(command: Any, path: str = "keyturn") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - the framework's
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def all_commands() -> dict[str, Any]:
    root = typer.Typer(cls=app.info.cls, help=app.info.help)
    root.registered_callback = app.registered_callback
    root.registered_commands = list(app.registered_commands)
    root.registered_groups = list(app.registered_groups)
    register_local(root)  # on a copy: other tests use `app` without these commands
    return dict(commands(typer.main.get_command(root)))


COMMANDS = all_commands()


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_and_its_parameters_have_help_in_sentences(path: str) -> None:
    texts = {path: COMMANDS[path].help}
    texts |= {parameter.name: parameter.help for parameter in COMMANDS[path].params}
    assert [name for name, text in texts.items() if not text or (not text[0].isupper() and ":" not in text)] == []
    assert [name for name, text in texts.items() if text and not text.rstrip().endswith(".")] == []
    assert [name for name, text in texts.items() if text and ";" in text] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_only_the_width_of_the_terminal_breaks_a_paragraph_of_help(path: str) -> None:
    assert [text for text in (COMMANDS[path].help or "").split("\n\n") if "\n" in text] == []


def test_the_help_of_the_local_commands_is_checked_too() -> None:
    assert {"keyturn up", "keyturn thaw", "keyturn dead-letters replay"} <= set(COMMANDS)
