"""docs/http.md has every route of every door, under the door's own heading, and no door that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from keyturn.entry.openapi.document import DOORS as DESCRIBED

from main import DOORS

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text("utf-8")
SECTIONS = {section.partition("\n")[0]: section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


def unnamed(text: str) -> str:
    """Return a text in which every parameter of a path is called the same: the page names them its own way."""
    return re.sub(r"\{\w+\}|<\w+>", "{}", text)


@pytest.mark.parametrize("door", DOORS)
def test_every_route_of_a_door_is_under_its_heading(door: str) -> None:
    sections = unnamed("".join(text for heading, text in SECTIONS.items() if f"`{door}`" in heading))
    told = {(method, path) for method, path in re.findall(r"(GET|POST) (/[^\s`?]*)", sections)}
    assert {(method, unnamed(path)) for method, path in DESCRIBED[door]} - told == set()


def test_no_heading_names_a_door_that_there_is_not() -> None:
    assert {name for heading in SECTIONS for name in re.findall(r"`(\w\w+)`", heading)} == set(DOORS)
