"""The tree of tests: it mirrors the package, and test modules are read by pytest alone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "shared" / "keyturn"
CROSS_CUTTING = {
    "bench": "the benchmarks in bench/",
    "cloud": "whole deployments on Google's emulators",
    "contracts": "one contract for every implementation of a port",
    "docs": "the pages in docs/ and beside the README",
    "functions": "the entry points in functions/, over HTTP",
    "interop": "implementations by other people",
    "packaging": "the deployment archive, the wheel and the requirements",
    "proving": "attacks on admin proofs, through all rooms",
    "releases": "two releases at once, and damaged documents",
    "rules": "firestore.rules",
    "scenarios": "random histories of several people and devices",
    "simulation": "the whole suite under faults, in virtual time",
    "terraform": "terraform/",
    "vectors": "official test vectors: data, no tests",
}
"""Folders of tests that belong to no one room of the package, and their subject."""


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of each module, or of each name in a module, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in_test_module(name: str) -> bool:
    """Return whether a name is a test module of ours, or a part of one."""
    parts = name.split(".")
    files = [TESTS.joinpath(*parts[1:end]).with_suffix(".py") for end in range(2, len(parts) + 1)]
    return parts[0] == "tests" and any(file.name.startswith("test_") and file.exists() for file in files)


def test_no_module_imports_from_a_test_module() -> None:
    # Helpers live in support modules. An imported test module would also be collected under the importer's name.
    wrong = [(str(path), name) for path in TESTS.rglob("*.py") for name in imports(path) if is_in_test_module(name)]
    assert wrong == []


def test_each_folder_mirrors_a_room_of_the_package() -> None:
    folders = {path.relative_to(TESTS).parent for path in TESTS.rglob("*.py")} - {Path()}
    rooms = {folder for folder in folders if folder.parts[0] not in CROSS_CUTTING}
    assert sorted(str(room) for room in rooms if not (PACKAGE / room).is_dir()) == []


def test_each_cross_cutting_folder_exists_and_is_no_room() -> None:
    assert [name for name in CROSS_CUTTING if not (TESTS / name).is_dir() or (PACKAGE / name).exists()] == []
