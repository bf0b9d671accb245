"""Output of the commands: tables and facts for people, one JSON object for programs, errors and progress on stderr.

Text from the network is printed without control characters, so that it can't control the terminal.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keyturn.cli import standard_input
from keyturn.domain.encodings import from_milliseconds
from keyturn.domain.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.status import Status

_spinners: list[Status] = []
"""The spinners that run now. A question stops them."""
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Format characters that words of some languages, and many emoji, are written with."""
_UNBOUNDED = 10_000
"""The width if the output is not a terminal: a program gets every line whole."""


def print_json(fields: Mapping[str, object]) -> None:
    """Print the JSON object of a command, on one line."""
    # A terminal with another character set would get escapes that are no JSON.
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(_escape(json.dumps(fields, ensure_ascii=not is_unicode)))


def print_facts(facts: Iterable[tuple[str, object]], *, err: bool = False) -> None:
    """Print names and values, aligned. None and the empty string are printed as a dash."""
    pairs = [(name, clean(value)) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        _console(err=err).print(Text.assemble((f"{name:<{width}}", "dim"), "  ", value), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their columns, or a sentence if there are none.

    No value is cut, because ids are copied. A table that is too wide for the terminal is printed with a value per line.
    """
    cells = [[clean(value) for value in row] for row in rows]
    if not cells:
        print_note(empty)
        return
    console, table = _console(), _table(columns, cells)
    if console.measure(table, options=console.options.update(max_width=_UNBOUNDED)).maximum > console.width:
        _print_stacked(columns, cells)
        return
    with console.capture() as rendered:
        console.print(table)
    for line in rendered.get().splitlines():  # rich pads the last column
        typer.echo(line.rstrip())


def print_note(sentence: str, *, err: bool = False) -> None:
    """Print a sentence. Only the terminal wraps it, so that a command in it can be copied."""
    _console(err=err).print(Text(clean(sentence)), soft_wrap=True)


def print_instruction(sentence: str) -> None:
    """Print to stderr what the user has to do now, and pause the spinners meanwhile."""
    with paused_spinners():
        print_note(sentence, err=True)


def print_warning(sentence: str) -> None:
    """Print a warning to stderr."""
    _print_labelled("warning", "yellow", sentence)


def print_error(sentence: str, hint: str) -> None:
    """Print an error and its hint to stderr."""
    _print_labelled("error", "bold red", sentence)
    if hint:
        _print_labelled("hint", "cyan", hint)


def ask(question: str) -> str:
    """Ask on stderr and return a line of standard input, empty at its end. Stdout carries only the command's output."""
    with paused_spinners():
        typer.echo(clean(question) + " ", nl=False, err=True)
        answer = standard_input.read_line()
        if not standard_input.is_terminal():
            typer.echo(err=True)  # no Enter key ended the line on the screen
        return answer


@contextmanager
def waiting(sentence: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner with a sentence if stderr is a terminal. Yields a function that changes the sentence."""
    console = _console(err=True)
    if not console.is_terminal:
        yield lambda _sentence: None
        return
    with console.status(Text(clean(sentence))) as status:
        _spinners.append(status)
        try:
            yield lambda changed: status.update(Text(clean(changed)))
        finally:
            _spinners.remove(status)


@contextmanager
def paused_spinners() -> Iterator[None]:
    """Pause all spinners while the user types."""
    running = tuple(_spinners)
    for status in running:
        status.stop()
    try:
        yield
    finally:
        for status in running:
            status.start()


@contextmanager
def fetching() -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress of fetching messages if stderr is a terminal.

    Yields an observer, called with the group, its epoch and its last epoch.
    """
    console = _console(err=True)
    if not console.is_terminal:
        yield lambda _group_id, _epoch, _last: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn  # noqa: PLC0415 - few need it

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"))
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def observe(group_id: str, epoch: int, last: int) -> None:
            if group_id not in tasks:
                tasks[group_id] = bars.add_task(f"Fetching messages of {clean(group_id)}")
            bars.update(tasks[group_id], completed=epoch, total=max(last, epoch))

        yield observe


def clean(value: object) -> str:
    """Return a value as text without control, format or line-ending characters."""
    text = "-" if value is None or value == "" else "yes" if value is True else "no" if value is False else str(value)
    # Format characters such as U+202E could make an id read like another one.
    return "".join(character if _is_shown(character) else "\N{REPLACEMENT CHARACTER}" for character in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _JOINERS


def _escape(text: str) -> str:
    """Return JSON in which no character controls a terminal. JSON itself escapes only those below U+0020."""
    # They are within strings, because JSON's own white space in this text is the space.
    return "".join(character if _is_shown(character) else json.dumps(character).strip('"') for character in text)


def moment(milliseconds: object) -> str | None:
    """Return Unix milliseconds as a readable time in UTC, None if the value is not a time."""
    if not isinstance(milliseconds, int):
        return None
    try:
        return f"{from_milliseconds(milliseconds):%Y-%m-%d %H:%M:%S} UTC"
    except Refusal:
        return None


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_stacked(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            typer.echo()
        print_facts(zip(columns, row, strict=True))


def _print_labelled(label: str, style: str, sentence: str) -> None:
    _console(err=True).print(Text.assemble((f"{label}:", style), " ", clean(sentence)), soft_wrap=True)


def _console(*, err: bool = False) -> Console:
    stream = sys.stderr if err else sys.stdout  # looked up each time: tests and shells redirect them
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
