"""docs/architecture.md names every package, every function and every room, and none that does not exist."""

from __future__ import annotations

import re

from main import FUNCTIONS
from tests.docs.pages import ROOT, codes, read, rows

PAGE = read("architecture.md")
PACKAGE = ROOT / "shared" / "keyturn"
PLANNED = {"keyturn.agent", "keyturn.proxy", "keyturn.witness"}


def folders(name: str) -> set[str]:
    return {path.name for path in (PACKAGE / name).iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_every_package_has_a_row() -> None:
    named = [codes(row[0])[0].removeprefix("keyturn.") for row in rows(PAGE)]
    assert sorted(named) == sorted({*folders("."), "functions/"})


def test_the_drawing_names_every_subpackage_of_the_layers() -> None:
    drawing = PAGE.split("```text")[2].partition("```")[0]
    for layer in ("entry", "adapters", "use_cases"):
        assert set(re.findall(r"\w+", drawing)) >= folders(layer), layer


def test_every_module_that_it_names_exists() -> None:
    named = set(re.findall(r"`(keyturn(?:\.\w+)+)`", PAGE)) - PLANNED
    paths = [PACKAGE.joinpath(*name.split(".")[1:]) for name in named]
    assert [str(path) for path in paths if not (path.is_dir() or path.with_suffix(".py").exists())] == []


def test_every_function_is_in_the_page() -> None:
    assert [name for name in FUNCTIONS if not re.search(rf"\b{name}\b", PAGE)] == []
