"""Terraform as it is written: what a folder declares, and what its expressions refer to.

Blocks and expressions come from python-hcl2 (HCL 2 native syntax): a string literal keeps its quotes, any other
expression stands in `${…}`, a block carries `__is_block__`.
"""

from __future__ import annotations

import copy
import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2] / "terraform"

Body = dict[str, Any]

_TRAVERSAL = re.compile(r"\b(?:var|local|module|data|each|google_\w+)(?:\.[A-Za-z_]\w*|\[[^\]]*\])+")


@dataclass
class Folder:
    """What the .tf files of one folder declare, by name; a resource by its type and name."""

    path: Path
    variables: dict[str, Body] = field(default_factory=dict)
    locals: Body = field(default_factory=dict)
    resources: dict[tuple[str, str], Body] = field(default_factory=dict)
    data: dict[tuple[str, str], Body] = field(default_factory=dict)
    modules: dict[str, Body] = field(default_factory=dict)
    outputs: dict[str, Body] = field(default_factory=dict)
    others: list[Body] = field(default_factory=list)

    def called(self, name: str) -> Folder:
        """Read the folder that a module's call names."""
        return read((self.path / literal(self.modules[name]["source"])).resolve())

    def bodies(self) -> Iterator[tuple[str, Body]]:
        """Yield every body that may hold expressions, each with a name for it."""
        for kind in (self.resources, self.data):
            yield from ((".".join(name), body) for name, body in kind.items())
        for title, named in (("var", self.variables), ("module", self.modules), ("output", self.outputs)):
            yield from ((f"{title}.{name}", body) for name, body in named.items())
        yield "locals", self.locals
        yield from ((next(iter(block)), block) for block in self.others)


def read(path: Path = ROOT) -> Folder:
    """Read a folder's own .tf files; `ValueError` for a name that is declared twice."""
    folder = Folder(path)
    for file in sorted(path.glob("*.tf")):
        for kind, blocks in copy.deepcopy(_parsed(file.read_text())).items():
            for block in blocks:
                _take(folder, kind, block)
    return folder


@functools.cache
def _parsed(text: str) -> Body:
    parsed: Body = _uncommented(hcl2.loads(text))
    return parsed


def _uncommented(tree: Any) -> Any:  # noqa: ANN401 - a parsed tree of whatever kind
    if isinstance(tree, dict):
        return {key: _uncommented(item) for key, item in tree.items() if not key.endswith("_comments__")}
    return [_uncommented(item) for item in tree] if isinstance(tree, list) else tree


def _take(folder: Folder, kind: str, block: Body) -> None:
    block = {_unquoted(name): value for name, value in block.items() if name != "__is_block__"}
    if kind == "locals":
        _add(folder.locals, block)
    elif kind in {"resource", "data"}:
        into = folder.resources if kind == "resource" else folder.data
        for one, named in block.items():
            _add(into, {(one, _unquoted(name)): body for name, body in named.items()})
    elif kind in {"variable", "module", "output"}:
        _add(getattr(folder, f"{kind}s"), block)
    else:
        folder.others.append({kind: block})


def _add(into: dict[Any, Any], found: Mapping[Any, Any]) -> None:
    if twice := set(into) & set(found):
        raise ValueError(f"declared twice: {twice}")
    into.update(found)


def _unquoted(text: str) -> str:
    return text.strip('"')


def literal(value: object) -> str:
    """Return the text of a string literal, escapes resolved, `${…}` as it stands; `ValueError` if it is none."""
    if not isinstance(value, str) or not value.startswith('"'):
        raise ValueError("no string literal")
    return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def literals(value: object) -> Any:  # noqa: ANN401 - a tree of whatever kind stands there
    """Return a tree of literals with its strings and keys unquoted; `ValueError` for any other expression in it."""
    if isinstance(value, dict):
        return {_unquoted(key): literals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literals(item) for item in value]
    return literal(value) if isinstance(value, str) else value


def references(value: object) -> Iterator[str]:
    """Yield the traversals (`var.x`, `module.y.z`, `google_t.n["k"].a`) in an expression, a body or a list of them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from references(item)
            yield from references(key if key.startswith("${") else None)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, str):
        yield from (found.group() for found in _TRAVERSAL.finditer(code(value)))


def code(text: str) -> str:
    """Return an expression without the contents of its string literals, but with those of their `${…}`."""
    kept: list[str] = []
    states = ["code"]
    position = 0
    while position < len(text):
        width = _step(text, position, states, kept)
        position += width
    return "".join(kept)


def _step(text: str, position: int, states: list[str], kept: list[str]) -> int:
    two, one = text[position : position + 2], text[position]
    if states[-1] == "string":
        if two == "${":
            states.append("code")
            kept.append(" ")
            return 2
        if one == '"':
            states.pop()
            kept.append(one)
        return 2 if one == "\\" else 1
    if one == '"':
        states.append("string")
    elif one == "{":
        states.append("code")
    elif one == "}":
        states.pop()
    kept.append(" " if one in "{}" else one)
    return 1
