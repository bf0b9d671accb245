"""docs/mls-assurance.md names a test for every rule of RFC 9420: each of them exists."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "mls-assurance.md").read_text("utf-8")
ROWS = re.findall(r"^\| (§[^|]+) \| ([^|]+) \| `(test_\w+\.py)::(test_\w+)` \|$", PAGE, flags=re.MULTILINE)


def test_the_table_covers_the_sections_that_were_read() -> None:
    clauses = {part for row in ROWS for part in re.findall(r"§(\d+(?:\.\d+)?)", row[0])}
    assert {"7.3", "10.1", "12.1", "12.2", "12.3", "12.4", "13.4", "13.5"} <= clauses
    assert {clause.split(".")[0] for clause in clauses} >= {"7", "10", "12", "13", "16"}
    assert len(ROWS) == PAGE.count("| §")


@pytest.mark.parametrize(("file", "name"), sorted({(row[2], row[3]) for row in ROWS}))
def test_each_rule_has_its_test(file: str, name: str) -> None:
    tree = ast.parse((HERE / file).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
