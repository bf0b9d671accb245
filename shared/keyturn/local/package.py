"""The deployment archive: one ZIP that every function is deployed from.

1. It holds `main.py`, `requirements.txt`, `functions/` and exactly those modules of `keyturn` that a function imports,
   at the top of a module or inside a function. The imports are read from the source, nothing is executed. The command
   line, the device and the local machine are never part of it.
2. Public certificates of device manufacturers (`trust/*.pem`) are added if the deployment has any.
3. The same tree gives the same bytes on every machine: the names are sorted, the time is fixed, and the entries are
   stored uncompressed, because deflate depends on the zlib version. The file name contains the SHA-256, so an unchanged
   archive causes no new deployment.

Only the standard library is imported: `make package` runs before anything is installed.
"""

from __future__ import annotations

import ast
import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FILES = ("main.py", "requirements.txt")
SOURCE_ROOTS = {"functions": ".", "keyturn": "shared"}
"""Each import package, and the folder that Python finds it in."""
_DATA_SUFFIXES = frozenset({".css", ".html", ".json", ".sql"})
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP entry can have
_MODE = 0o100644 << 16  # a regular file (Unix keeps the mode in the upper half)


def contents(root: Path) -> dict[str, Path]:
    """Return the archive's files by their names in it, sorted."""
    files = [root / name for name in FILES]
    modules = imported_modules(root)
    data = [file for path in modules.values() for file in _data_files(path)]
    certificates = (root / "trust").rglob("*.pem")
    paths = [*files, *modules.values(), *data, *certificates]
    return dict(sorted((path.relative_to(root).as_posix(), path) for path in paths))


def imported_modules(root: Path) -> dict[str, Path]:
    """Return every module that the functions need, by name: they, what they import, and the packages around it."""
    modules = dict(_all_modules(root))
    closure: dict[str, Path] = {}
    queue = [name for name in modules if name.startswith("functions")]
    while queue:
        name = queue.pop()
        if name in modules and name not in closure:
            closure[name] = modules[name]
            queue.append(name.rpartition(".")[0])  # importing a module runs its packages' __init__ files
            queue.extend(_imports(name, modules[name]))
    return closure


def archive(root: Path = ROOT) -> bytes:
    """Return the archive's bytes. `OSError` if one of its files cannot be read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as output:
        for name, path in contents(root).items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = _MODE
            output.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def write(folder: Path, root: Path = ROOT) -> Path:
    """Write the archive as keyturn-<SHA-256>.zip into a folder and delete earlier ones. Return its path."""
    content = archive(root)
    path = folder / f"keyturn-{hashlib.sha256(content).hexdigest()}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in set(folder.glob("keyturn-*.zip")) - {path}:
        earlier.unlink()
    path.write_bytes(content)
    return path


def _all_modules(root: Path) -> Iterator[tuple[str, Path]]:
    for package, source_root in SOURCE_ROOTS.items():
        base = root / source_root
        for path in (base / package).rglob("*.py"):
            yield ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"), path


def _imports(name: str, path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports when it runs. Some name a value in a module, not a module."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in _executed(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a syntax tree's nodes without the bodies of `if TYPE_CHECKING`, which never run."""
    queue = [tree]
    while queue:
        node = queue.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            queue.extend(node.orelse)
        else:
            queue.extend(ast.iter_child_nodes(node))


def _data_files(module: Path) -> Iterator[Path]:
    """Yield the data files beside a module that it names in its text."""
    texts = {node.value for node in ast.walk(ast.parse(module.read_bytes())) if isinstance(node, ast.Constant)}
    data_files = (path for path in module.parent.iterdir() if path.suffix in _DATA_SUFFIXES)
    return (path for path in data_files if path.name in texts)


if __name__ == "__main__":
    sys.stdout.write(f"{write(ROOT / 'build')}\n")
