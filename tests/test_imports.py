"""Imports inside `keyturn` do not go in circles: neither between modules, nor between a module and a package.

Between modules every import counts, also those in functions and those that only a type checker reads: a circle of names
is as hard to follow as one of code. Between a module and a package, imports for the type checker do not count, since a
package's modules may name a context that is composed of their classes.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import keyturn

ROOT = Path(keyturn.__path__[0])
FILES = {
    ".".join(("keyturn", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def package_of(module: str) -> str:
    return module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]


def packages_around(module: str) -> list[str]:
    """Return the packages that a module is in, without `keyturn` itself."""
    parts = package_of(module).split(".")
    return [".".join(parts[:length]) for length in range(2, len(parts) + 1)]


def imported_names(module: str, node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    parts = package_of(module).split(".")
    base = ".".join([*parts[: len(parts) - node.level + 1], node.module or ""]) if node.level else node.module or ""
    base = base.rstrip(".")
    return [name if (name := f"{base}.{alias.name}") in FILES else base for alias in node.names]


class RunTimeImports(ast.NodeTransformer):
    """Leaves out the blocks that only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)


@cache
def imports(module: str, *, with_types: bool = True) -> frozenset[str]:
    """Return the modules of `keyturn` that a module imports."""
    tree: ast.AST = ast.parse(FILES[module].read_text())
    if not with_types:
        tree = RunTimeImports().visit(tree)
    names = (name for node in ast.walk(tree) for name in imported_names(module, node))
    return frozenset(name for name in names if name in FILES) - {module}


def test_modules_do_not_import_each_other_in_circles() -> None:
    try:
        TopologicalSorter({module: imports(module) for module in FILES}).prepare()
    except CycleError as error:
        circle = error.args[1]
        raise AssertionError(" -> ".join(circle)) from None


def test_no_module_imports_a_package_that_imports_it_back() -> None:
    importers: dict[str, set[str]] = {}
    for module in FILES:
        for target in imports(module, with_types=False):
            importers.setdefault(target, set()).update(packages_around(module))
    circles = [
        f"{module} and {package}"
        for module in FILES
        for target in imports(module, with_types=False)
        for package in packages_around(target)
        if package not in packages_around(module) and package in importers.get(module, ())
    ]
    assert circles == []


def test_the_search_sees_the_imports_of_a_module() -> None:
    assert "keyturn.ports.store" in imports("keyturn.adapters.firestore.rpc")
    assert "keyturn.adapters.firestore.rpc" in imports("keyturn.adapters.firestore.store", with_types=False)
    assert "keyturn.ports.indexes" not in imports("keyturn.adapters.firestore.requests", with_types=False)
    assert imports("keyturn.mls.tree_math") == frozenset()
    assert package_of("keyturn.mls") == "keyturn.mls"
