"""What code and pages refer to exists: sections, pages, headings, decisions, files and modules."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, is_ours, read, without_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_LINE = 120
OUTSIDE = "." * 2 + "/shared"
"""A folder beside the project that is no part of it. It is put together here, so that a search finds nothing."""
TEXTS = {".py", ".md", ".tf", ".toml", ".json", ".rules", ".mjs", ".js", ".css", ".html", ".sql", ".txt", ".ts"}
FOLDERS = ("bench", "docs", "functions", "requirements", "shared", "terraform", "tests")
PLANNED = {"keyturn.agent", "keyturn.proxy", "keyturn.witness"}


def files() -> Iterator[Path]:
    """Yield every text file of the project."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and (path.suffix in TEXTS or path.name == "Makefile"))
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if is_ours(path) and path.suffix in TEXTS)


def found(pattern: str) -> dict[str, set[str]]:
    """Return what matches a pattern in any file, with the names of the files."""
    places: dict[str, set[str]] = {}
    for path in files():
        for match in re.finditer(pattern, path.read_text("utf-8", errors="replace")):
            places.setdefault(match[0], set()).add(path.relative_to(ROOT).as_posix())
    return places


def test_every_section_that_is_cited_exists() -> None:
    cited = found(r"docs/[\w-]+\.md,? §\d+")
    assert cited
    for reference, where in cited.items():
        page, number = re.split(r",? §", reference)
        assert re.search(rf"^#+ {number}\. ", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE), (reference, where)


def test_a_section_is_cited_with_the_path_of_its_page() -> None:
    # A bare name could mean a text that is not in the repository.
    bare = found(r"(?<![\w/-])[\w-]+\.md,? §\d+")
    inside = {
        "docs/" + path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.is_relative_to(ROOT / "docs")
    }
    assert {text: where - inside for text, where in bare.items() if where - inside} == {}


def test_further_sections_of_one_citation_exist_too() -> None:
    for reference, where in found(r"docs/protocol\.md §\d+(?:(?:, | and )§\d+)+").items():
        for number in re.findall(r"§(\d+)", reference):
            assert re.search(rf"^## {number}\. ", read("protocol.md"), flags=re.MULTILINE), (reference, where)


def test_every_page_that_is_named_exists() -> None:
    missing = {name: where for name, where in found(r"\bdocs/[\w/-]+\.md\b").items() if not (ROOT / name).exists()}
    assert missing == {}


def test_every_decision_that_is_cited_exists() -> None:
    numbers = {path.name[:4] for path in (ROOT / "docs" / "adr").glob("0*.md")}
    cited = {
        reference: where for pattern in (r"ADR \d{4}", r"docs/adr/\d{4}") for reference, where in found(pattern).items()
    }
    assert {reference: where for reference, where in cited.items() if reference[-4:] not in numbers} == {}


def test_the_list_of_decisions_is_complete() -> None:
    pages = sorted(path for path in (ROOT / "docs" / "adr").glob("0*.md"))
    rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \|$", read("adr/README.md"), flags=re.MULTILINE)
    titles = [re.match(r"# (\d{4}): (.+)", page.read_text("utf-8")) for page in pages]
    assert [(number, name, title) for number, name, title in rows] == [
        (title[1], page.name, title[2]) for page, title in zip(pages, titles, strict=True) if title
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_and_module_that_it_names_exists(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", without_code(page.read_text("utf-8")))
    paths = [span for span in spans if re.fullmatch(r"(?:tests|terraform|functions|docs|bench|shared)/[\w./-]+", span)]
    assert [name for name in paths if not (ROOT / name).exists()] == []
    modules = {span for span in spans if re.fullmatch(r"keyturn(?:\.[A-Za-z_]\w*)+", span)} - PLANNED
    assert [name for name in sorted(modules) if not is_importable(name)] == []


def is_importable(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return bool(module) and hasattr(importlib.import_module(module), attribute)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    lines = without_code(page.read_text("utf-8")).splitlines()
    assert [line for line in lines if len(line) > LONGEST_LINE and not line.lstrip().startswith("|")] == []


def test_nothing_refers_to_a_folder_outside_of_the_project() -> None:
    assert found(re.escape(OUTSIDE)) == {}
