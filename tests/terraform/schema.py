"""Terraform held against the provider's schema: every resource, argument, nested block and reference, as findings.

The schema file is an extract for the resources used here, made by `python -m tests.terraform.schema SOURCE` from the
attribute names of provider google 6.50; its notice of origin is in google_6.50.json itself.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.terraform.reading import Body, Folder, literal, read, references

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).with_name("google_6.50.json")
ORIGIN = (
    "Attribute names, required flags and nested blocks of the Google provider for Terraform 6.50, extracted from the "
    "npm package @cdktf/provider-google 16.12.1. That package and this extract: Mozilla Public License 2.0, "
    "https://mozilla.org/MPL/2.0/."
)
META = frozenset({"count", "for_each", "depends_on", "provider", "lifecycle", "dynamic", "__is_block__"})
CALL_META = frozenset({"source", "version", "providers", *META})
EMPTY_BLOCKS = frozenset({"ttl_config"})
"""Blocks that the schema knows as bare names, since nothing need stand in them."""
COMPUTED_IN_BLOCKS = frozenset({"uri"})
"""What the provider computes inside blocks and the extract has no record of: google_cloudfunctions2_function's uri."""

Schema = dict[str, Any]


def load() -> Schema:
    """Load the extract: {"resource": {type: {"args", "computed"}}, "data": …}."""
    schema: Schema = json.loads(FILE.read_text())
    return schema


def findings(folder: Folder, schema: Schema) -> list[str]:
    """List everything wrong with a folder and the modules that it calls; empty if nothing is."""
    found = [*_declarations(folder, schema), *_references(folder, schema)]
    for name in folder.modules:
        called = folder.called(name)
        found += _call(name, folder.modules[name], called)
        found += [f"module.{name}: {finding}" for finding in findings(called, schema)]
    return found


# --- resources --------------------------------------------------------------------------------------------------------


def _declarations(folder: Folder, schema: Schema) -> Iterator[str]:
    for kind, declared in (("resource", folder.resources), ("data", folder.data)):
        for (type_, name), body in declared.items():
            known = schema[kind].get(type_)
            if known is None:
                yield f"{type_}.{name}: no such {kind}"
            else:
                yield from _body(f"{type_}.{name}", body, known["args"])


def _body(where: str, body: Body, args: Schema) -> Iterator[str]:
    given = {name: value for name, value in body.items() if name not in META} | _dynamic(body)
    yield from (f"{where}: {name} is required" for name in args if args[name].get("required") and name not in given)
    for name, value in given.items():
        if name not in args:
            yield f"{where}: no argument {name}"
        else:
            yield from _argument(f"{where}.{name}", name, value, args[name])


def _argument(where: str, name: str, value: object, known: Schema) -> Iterator[str]:
    blocks = value if isinstance(value, list) and all(_is_block(item) for item in value) and value else []
    if "block" in known and not blocks:
        yield f"{where}: is a block, not an argument"
    if "block" not in known and blocks and name not in EMPTY_BLOCKS:
        yield f"{where}: is an argument, not a block"
    for block in blocks:
        yield from _body(where, block, known.get("block", {}))


def _is_block(item: object) -> bool:
    return isinstance(item, dict) and bool(item.get("__is_block__"))


def _dynamic(body: Body) -> Body:
    """Return what `dynamic` blocks come to: their contents under their labels."""
    labelled = [(label, block) for dynamic in body.get("dynamic", []) for label, block in dynamic.items()]
    return {label.strip('"'): block["content"] for label, block in labelled if isinstance(block, dict)}


# --- calls and references ---------------------------------------------------------------------------------------------


def _call(name: str, call: Body, called: Folder) -> Iterator[str]:
    given = set(call) - CALL_META
    required = {variable for variable, body in called.variables.items() if "default" not in body}
    yield from (f"module.{name}: no variable {missing}" for missing in sorted(given - set(called.variables)))
    yield from (f"module.{name}: {missing} is required" for missing in sorted(required - given))


def _references(folder: Folder, schema: Schema) -> Iterator[str]:
    for where, body in folder.bodies():
        for reference in references(body):
            if not _resolves(_steps(reference), body, folder, schema):
                yield f"{where}: {reference} refers to nothing"


def _steps(reference: str) -> list[str]:
    """Split a traversal at its dots; an index is no step of its own."""
    bare = "".join(part.partition("]")[2] if index else part for index, part in enumerate(reference.split("[")))
    return bare.split(".")


def _resolves(steps: list[str], body: Body, folder: Folder, schema: Schema) -> bool:
    known = {"var": folder.variables, "local": folder.locals, "each": {"key", "value"} if "for_each" in body else ()}
    match steps:
        case ["var" | "local" | "each" as kind, name, *_]:
            return name in known[kind]
        case ["module", name, output]:
            return name in folder.modules and output in folder.called(name).outputs
        case ["data", type_, name, *rest]:
            return (type_, name) in folder.data and _attribute(rest, schema["data"].get(type_))
        case [type_, name, *rest]:
            return (type_, name) in folder.resources and _attribute(rest, schema["resource"].get(type_))
    return False


def _attribute(rest: list[str], known: Schema | None) -> bool:
    """Tell whether a chain of attributes exists: in nested blocks only what may be given is known."""
    if known is None:
        return False
    if not rest:
        return True
    first = known["args"].get(rest[0], {})
    if len(rest) > 1 and "block" in first:
        return rest[1] in first["block"] or rest[1] in COMPUTED_IN_BLOCKS
    return len(rest) == 1 and (rest[0] in known["args"] or rest[0] in known["computed"])


def unused(folder: Folder) -> list[str]:
    """List the variables and locals of a folder that nothing refers to."""
    used = {".".join(_steps(found)[:2]) for _, body in folder.bodies() for found in references(body)}
    declared = [f"var.{name}" for name in folder.variables] + [f"local.{name}" for name in folder.locals]
    return sorted(set(declared) - used)


# --- the extract ------------------------------------------------------------------------------------------------------


def extract(source: Path) -> Schema:
    """Return what of the whole provider's schema the folder and its modules use."""
    whole = json.loads(gzip.decompress(source.read_bytes()))
    return {"origin": ORIGIN, **{kind: _used(whole[kind], kind, read()) for kind in ("resource", "data")}}


def _used(whole: Schema, kind: str, folder: Folder) -> Schema:
    declared = folder.resources if kind == "resource" else folder.data
    used = {type_: whole[type_] for type_, _ in declared}
    for call in folder.modules.values():
        used |= _used(whole, kind, read((folder.path / literal(call["source"])).resolve()))
    return dict(sorted(used.items()))


if __name__ == "__main__":
    FILE.write_text(json.dumps(extract(Path(sys.argv[1])), indent=1) + "\n")
