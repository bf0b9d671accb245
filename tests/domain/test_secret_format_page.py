"""docs/secret-format.md: its pattern and its checksum code are run on issued secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from keyturn.domain.encodings import new_secret, ulid
from keyturn.domain.secret_format import PATTERN, scannable_secret

from tests.domain.scene import START

PAGE = (Path(__file__).parents[2] / "docs" / "secret-format.md").read_text("utf-8")


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)\n```", PAGE, flags=re.DOTALL)
    return str(found)


def check() -> Any:  # noqa: ANN401 - the page's own function
    page: dict[str, Any] = {}
    exec(compile(block("python"), "docs/secret-format.md", "exec"), page)  # noqa: S102 - our own page
    return page["keyturn_secrets"]


def test_the_expression_is_the_one_that_is_used() -> None:
    assert block("regex") == PATTERN


def test_the_check_finds_what_is_issued_and_nothing_that_only_looks_like_it() -> None:
    found = check()
    for _ in range(200):
        secret = scannable_secret(os.urandom(32), ulid(START, os.urandom(10)))
        other = ("A" if secret[30] != "A" else "B").join([secret[:30], secret[31:]])
        text = f"export SECRET='{secret}'; {other} x{secret} {secret}- {new_secret(os.urandom(32))}"
        assert found(text) == [secret]


def test_the_example_passes_the_check() -> None:
    assert check()(block("text")) == [block("text")]


def test_the_check_is_as_short_as_the_page_says_it_is() -> None:
    assert len(block("python").splitlines()) <= 20
