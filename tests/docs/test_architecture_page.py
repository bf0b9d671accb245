"""docs/architecture.md names every package, every function and every room, and none that does not exist."""

from __future__ import annotations

import re
import tomllib

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


def test_the_packages_above_the_functions_are_those_that_the_page_names() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = [item["layers"] for item in contracts if "functions" in item.get("layers", [])]
    above = set(re.findall(r"keyturn\.\w+", " ".join(layers[: layers.index("functions")])))
    assert above == PLANNED | {"keyturn.cli", "keyturn.device", "keyturn.local"}
    sentence = PAGE.partition("Functions may import none of")[2].partition(".")[0]
    assert {f"keyturn.{name}" for name in codes(sentence)} == above
