from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.cli.totp_prompt import CodePrompt
from keyturn.device.core.errors import NoCodeError

if TYPE_CHECKING:
    from collections.abc import Callable


def typed(*lines: str) -> Callable[[str], str]:
    answers = iter(lines)
    return lambda _question: next(answers)


def test_six_digits_are_a_code_with_or_without_a_space() -> None:
    assert CodePrompt(typed("123456"))() == "123456"
    assert CodePrompt(typed("123 456"))() == "123456"


def test_what_is_no_code_is_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert CodePrompt(typed("12345", "abcdef", "1234567", "654321"))() == "654321"
    assert capsys.readouterr().err.count("six digits") == 3


def test_a_code_is_taken_once_in_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    ask = CodePrompt(typed("123456", "123456", "654321"))
    assert [ask(), ask()] == ["123456", "654321"]
    assert "works once" in capsys.readouterr().err


def test_an_empty_line_ends_it() -> None:
    with pytest.raises(NoCodeError):
        CodePrompt(typed(""))()


def test_its_repr_shows_no_code() -> None:
    ask = CodePrompt(typed("123456"))
    ask()
    assert "123456" not in repr(ask)
