"""The domain has no I/O, no clock and no randomness. The test reads its source."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DOMAIN = Path(__file__).parents[2] / "shared" / "keyturn" / "domain"
MODULES = sorted(DOMAIN.glob("*.py"))
PURE = {
    "__future__",
    "base64",
    "binascii",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "ipaddress",
    "json",
    "math",
    "re",
    "typing",
}
IMPURE_NAMES = {
    "now",
    "utcnow",
    "today",
    "open",
    "print",
    "input",
    "eval",
    "exec",
    "__import__",
    "compile",
    "file_digest",
}
PURE_OF = {"compile": {"re"}}
"""Impure names that are pure as methods of these objects."""


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module)


def _called(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute):
                yield called.value.id if isinstance(called.value, ast.Name) else "", called.attr
            elif isinstance(called, ast.Name):
                yield "", called.id


def _impure_calls(tree: ast.AST) -> set[str]:
    return {name for on, name in _called(tree) if name in IMPURE_NAMES and on not in PURE_OF.get(name, set())}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_imports_are_pure(module: Path) -> None:
    for name in _imported(ast.parse(module.read_text("utf-8"))):
        assert name.split(".")[0] in PURE or name == "keyturn.domain" or name.startswith("keyturn.domain."), name


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_calls_are_pure(module: Path) -> None:
    assert _impure_calls(ast.parse(module.read_text("utf-8"))) == set()


def test_the_check_sees_what_it_looks_for() -> None:
    assert _impure_calls(ast.parse("a = datetime.now(UTC)")) == {"now"}
    assert _impure_calls(ast.parse("open('x')")) == {"open"}
    assert set(_imported(ast.parse("import os\nfrom time import time"))) == {"os", "time"}
    assert len(MODULES) > 8
