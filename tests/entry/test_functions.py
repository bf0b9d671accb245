"""The deployed functions: thin entry points over the route tables that `keyturn up` serves, too."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
from keyturn.entry.functions import FUNCTIONS
from keyturn.local.gateway import GUARDED, open_gateway

import main

ROOT = Path(__file__).parents[2]


def test_the_deployment_and_one_machine_have_the_same_functions() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
    assert folders == set(main.FUNCTIONS) == set(FUNCTIONS)
    assert set(FUNCTIONS) > GUARDED


@pytest.mark.parametrize("name", main.FUNCTIONS)
def test_a_function_has_the_same_routes_deployed_and_on_one_machine(name: str) -> None:
    assert import_module(f"functions.{name}.main").ROUTES is open_gateway("token").functions[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_routes_have_their_functions_name_and_no_path_that_begins_with_it(name: str) -> None:
    assert FUNCTIONS[name].root_path == f"/{name}"
    first = {path.split("/")[1] for _, path in FUNCTIONS[name].handlers}
    assert not [segment for segment in first if segment == name or segment.startswith("<")]


@pytest.mark.parametrize("name", main.FUNCTIONS)
def test_an_entry_point_names_its_trigger_and_decides_nothing(name: str) -> None:
    tree = ast.parse((ROOT / "functions" / name / "main.py").read_text("utf-8"))
    assert (ast.get_docstring(tree) or "").startswith("Trigger: ")
    code = [node for node in tree.body[1:] if not _is_for_types(node)]
    assert sum(len(ast.unparse(node).splitlines()) for node in code) <= 10
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Try, ast.Lambda, ast.IfExp))]
    assert not [node for node in code if isinstance(node, ast.If)]
    assert "environ" not in ast.dump(tree)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_routes_are_plain_functions(name: str) -> None:
    handlers = FUNCTIONS[name].handlers.values()
    assert [handler.__name__ for handler in handlers if handler.__name__ == "<lambda>"] == []
    assert {handler.__module__.startswith("keyturn.entry.handlers.") for handler in handlers} == {True}


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
