"""docs/http.md documents every route, each under the heading of its function, and no unknown function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from keyturn.entry.functions import FUNCTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text("utf-8")
SECTIONS = {section.partition("\n")[0]: section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


def unnamed(text: str) -> str:
    """Return a text in which every path parameter has the same name: the page names them differently."""
    return re.sub(r"\{\w+\}|<\w+>", "{}", text)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_route_of_a_function_is_under_its_heading(name: str) -> None:
    sections = unnamed("".join(text for heading, text in SECTIONS.items() if f"`{name}`" in heading))
    documented = {(method, path) for method, path in re.findall(r"(GET|POST) (/[^\s`?]*)", sections)}
    assert {(method, unnamed(path)) for method, path in FUNCTIONS[name].handlers} - documented == set()


def test_no_heading_names_an_unknown_function() -> None:
    assert {name for heading in SECTIONS for name in re.findall(r"`(\w\w+)`", heading)} == set(FUNCTIONS)
