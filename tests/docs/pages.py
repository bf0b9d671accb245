"""The project's pages, as tests read them: headings, tables and code blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "shared").rglob("*.md")),
)
_FENCE = re.compile(r"^ *```.*?^ *```$", flags=re.DOTALL | re.MULTILINE)


FOREIGN = {"node_modules", "__pycache__", "keyturn.egg-info"}
"""Folders that tools write into the tree."""


def is_ours(path: Path) -> bool:
    """Return whether a path is a file of the project, and not of a package that a test installed."""
    return path.is_file() and FOREIGN.isdisjoint(path.relative_to(ROOT).parts)


def read(page: str) -> str:
    """Return the text of a page in docs/."""
    return (ROOT / "docs" / page).read_text("utf-8")


def without_code(text: str) -> str:
    """Return a page with its code blocks blanked, line for line."""
    return _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)


def section(text: str, number: int) -> str:
    """Return what stands under the heading `## <number>. …`."""
    match = re.search(rf"^## {number}\. .*?(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert match is not None, number
    return match[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in a text as lists of cells, without heads and rules."""
    lines = text.splitlines()
    found = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_rule = bool(re.fullmatch(r"\|[-|: ]+\|", line))
        is_head = bool(re.fullmatch(r"\|[-|: ]+\|", following))
        if line.startswith("|") and not is_rule and not is_head:
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    return found


def codes(text: str) -> list[str]:
    """Return the code spans of a text."""
    return re.findall(r"`([^`]+)`", text)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
