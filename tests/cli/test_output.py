from __future__ import annotations

import json
import os
import pty
import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keyturn.cli.operator_token import token_path
from keyturn.cli.output import ask, clean, fetching, moment, print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import default_home
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UnreachableError
from keyturn.device.core.format_keys import key, person
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ("a\x1b[2J\nb\u202e", "a\ufffd[2J\ufffdb\ufffd"),
        ("\x7f\x9b\u2028", "\ufffd\ufffd\ufffd"),
        ("a\u200cb", "a\u200cb"),
        ("👩\u200d🔧", "👩\u200d🔧"),
    ],
)
def test_values_are_only_shown(value: object, text: str) -> None:
    assert clean(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "1970-01-01 00:00:00 UTC"), (None, None), ("1", None), (-1, None), (10**18, None)]
)
def test_times_are_utc_or_nothing(milliseconds: object, text: str | None) -> None:
    assert moment(milliseconds) == text


def test_columns_are_aligned_and_lines_have_no_tail(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("a", 1), ("long name", None)])
    print_table(("ONE", "TWO"), [["x" * 120, "y"], ["z", "longer"]], empty="Nothing.")
    print_table(("ONE",), [], empty="Nothing.")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a          1", "long name  -"]
    assert [line.split() for line in lines[2:5]] == [["ONE", "TWO"], ["x" * 120, "y"], ["z", "longer"]]
    assert lines[5] == "Nothing."
    assert all(line == line.rstrip() for line in lines)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Callable[[], list[str]]]]:
    """Make stdout a terminal of so many columns; what is returned gives the lines that it shows."""
    own, other = pty.openpty()
    with os.fdopen(own, "rb", buffering=0) as screen, os.fdopen(other, "w") as stdout:

        def make(columns: int) -> Callable[[], list[str]]:
            monkeypatch.setenv("COLUMNS", str(columns))
            monkeypatch.setenv("TERM", "xterm")
            monkeypatch.setenv("NO_COLOR", "1")
            monkeypatch.setattr("sys.stdout", stdout)

            def shown() -> list[str]:
                stdout.write("\0")  # a terminal has no end to read up to
                stdout.flush()
                text = b""
                while not text.endswith(b"\0"):
                    text += screen.read(4096)
                return [_PLAIN.sub("", line).rstrip() for line in text.decode().rstrip("\0").splitlines()]

            return shown

        yield make


_PLAIN = re.compile(r"\x1b\[[0-9;]*m")
ULID = "01M7YRARZQC8DZCASKB48DTS2A"
WIDE = ["ROTATION", "CLIENT", "VERSION", "RECEIVED"], [ULID, "acme", ULID[::-1], "2026-03-01 12:00:00 UTC"]


def test_a_table_too_wide_for_a_terminal_is_printed_value_by_value(
    terminal: Callable[[int], Callable[[], list[str]]],
) -> None:
    shown = terminal(80)
    titles, row = WIDE
    print_table(titles, [row, row], empty="")
    one = [f"{title:<8}  {value}" for title, value in zip(titles, row, strict=True)]
    assert shown() == [*one, "", *one]


def test_a_value_wider_than_the_terminal_is_whole(terminal: Callable[[int], Callable[[], list[str]]]) -> None:
    shown = terminal(40)
    print_table(["NPUB"], [["npub1" + "q" * 58]], empty="")
    assert shown() == ["NPUB  npub1" + "q" * 58]


def test_a_sentence_is_one_line_however_narrow_the_terminal(terminal: Callable[[int], Callable[[], list[str]]]) -> None:
    shown = terminal(40)
    print_note(f"The secret is being sent: `keyturn ack {ULID}`.")
    assert shown() == [f"The secret is being sent: `keyturn ack {ULID}`."]


def test_a_table_that_fits_a_terminal_stays_one(terminal: Callable[[int], Callable[[], list[str]]]) -> None:
    shown = terminal(120)
    titles, row = WIDE
    print_table(titles, [row], empty="")
    assert [line.split("  ")[0] for line in shown()] == ["ROTATION", ULID]


def test_an_object_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"reason": "two\nlines", "name": "é"})
    assert capsys.readouterr().out == '{"reason": "two\\nlines", "name": "é"}\n'


def test_an_object_has_no_character_that_controls_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(map(chr, [*range(0xA1), 0x061C, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xE0001])) + "a\u200cb"
    print_json({"reason": text})
    printed = capsys.readouterr().out
    assert printed.isascii() is False
    assert all(character.isprintable() or character in "\n\u200c" for character in printed)
    assert json.loads(printed) == {"reason": text}


def test_progress_is_not_for_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("Waiting") as tell:
        tell("Still waiting")
    assert capsys.readouterr() == ("", "")


def test_a_long_log_is_fetched_with_a_bar_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr("keyturn.cli.output._console", lambda *, err: console if err else None)
    with fetching() as tell:
        tell("ops", 120, 200)
        tell("ops", 200, 0)
    shown = screen.getvalue()
    assert "Fetching messages of ops" in shown
    assert "200/200" in shown
    assert "epochs" in shown


def test_nothing_moves_on_a_terminal_while_somebody_types(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("keyturn.cli.output._console", lambda *, err: console if err else None)
    moving: list[bool] = []

    class Keyboard(StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, _size: int | None = -1) -> str:  # type: ignore[override]  # as it is called
            moving.append(bool(console._live_stack))
            return "123456\n"

    monkeypatch.setattr("sys.stdin", Keyboard())
    with waiting("Asking for the rotation"):
        moving.append(bool(console._live_stack))
        assert ask("Code?") == "123456"
        moving.append(bool(console._live_stack))
    assert moving == [True, False, True]


def test_a_long_log_is_fetched_silently_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with fetching() as tell:
        tell("ops", 120, 200)
    assert capsys.readouterr() == ("", "")


def test_keys_are_shown_as_npubs() -> None:
    hexadecimal = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
    npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"  # NIP-19's own example
    assert key(hexadecimal) == npub
    assert key("npub1") == "npub1"
    assert person({"user": "alice", "npub": hexadecimal}) == f"alice {npub}"
    assert person(None) is None


def test_homes_and_tokens_are_where_the_user_keeps_such() -> None:
    assert default_home({"XDG_DATA_HOME": "/d"}) == Path("/d/keyturn/device")
    assert default_home({}) == Path.home() / ".local" / "share" / "keyturn" / "device"
    assert token_path("http://127.0.0.1:8787", {}).parent == Path.home() / ".local" / "state" / "keyturn"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (answers.text, 1),
        (answers.optional_text, 1),
        (answers.integer, True),
        (answers.mapping, []),
        (answers.mappings, [1]),
        (answers.texts, [1]),
        (answers.texts, None),
    ],
)
def test_fields_of_another_type_are_no_answer(read: Callable[[dict[str, object], str], object], value: object) -> None:
    with pytest.raises(UnreachableError):
        read({"field": value}, "field")
    assert answers.optional_text({}, "field") is None
