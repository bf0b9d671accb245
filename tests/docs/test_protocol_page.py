"""docs/protocol.md is held to the code: documents and their fields, commands, policies, and reasons of errors."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain import lifecycle
from keyturn.domain.errors import Refusal
from keyturn.proofs.request_digest import PARAMS
from keyturn.records.schema import KINDS, DocumentKind, DocumentShape
from keyturn.use_cases.commands.actions import ACTIONS
from keyturn.use_cases.commands.parse import KINDS as EVENT_KINDS

from tests.docs.pages import ROOT, codes, read, rows, section
from tests.terraform.reading import read as read_terraform

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = read("protocol.md")
PACKAGE = ROOT / "shared" / "keyturn"
TITLES = (
    "Terms",
    "Encodings and identifiers",
    "Data",
    "Lifecycle",
    "Distribution",
    "Policy",
    "Authorisation",
    "Messages",
    "Audit",
    "Verification",
    "Errors",
    "MLS groups",
)
"""Code cites these sections by number."""
DOCUMENTS = {codes(row[0])[0]: row[1] for row in rows(section(PAGE, 3)) if "/" in row[0]}
TWO_COLUMNS, THREE_COLUMNS = 2, 3
DESCRIBED_ELSEWHERE = {"live", "ids", "before", "after", "answer"}


def test_the_sections_keep_their_numbers() -> None:
    assert re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE) == [f"{n}. {name}" for n, name in enumerate(TITLES, 1)]


def test_every_kind_of_document_is_described_and_no_other() -> None:
    assert set(DOCUMENTS) == {kind.pattern for kind in KINDS}


def test_each_database_is_written_by_the_functions_that_may_write_it() -> None:
    written = {codes(row[0])[0]: set(codes(row[2])) for row in rows(section(PAGE, 3)) if len(row) == THREE_COLUMNS}
    for database, functions in written.items():
        may = {name for name, body in read_terraform().modules.items() if "datastore.user" in role_of(body, database)}
        assert functions == may, database


def role_of(body: Any, database: str) -> str:  # noqa: ANN401 - as terraform's reader has it
    return str(body.get("databases", {}).get(database, ""))


def fields_of(cell: str) -> set[str]:
    """Return the fields that a row names: the codes outside of all brackets, before its remarks."""
    text = cell
    for brackets in (r"\([^()]*\)", r"\{[^{}]*\}", r"\[[^\[\]]*\]"):
        while (shorter := re.sub(brackets, "", text)) != text:
            text = shorter
    return set(codes(re.split(r"[:.] ", text)[0]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
def test_a_document_has_exactly_the_fields_that_the_page_names(kind: DocumentKind) -> None:
    assert fields_of(DOCUMENTS[kind.pattern]) == {*kind.shape.required, *kind.shape.optional}


def nested(shape: DocumentShape) -> Iterator[str]:
    for name, inner in {**shape.required, **shape.optional}.items():
        if inner is not None and name not in DESCRIBED_ELSEWHERE and name != "policy":
            yield from (*inner.required, *inner.optional, *nested(inner))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
def test_the_fields_of_its_inner_objects_are_named_too(kind: DocumentKind) -> None:
    assert set(nested(kind.shape)) - set(codes(DOCUMENTS[kind.pattern])) == set()


def test_every_command_of_the_lifecycle_has_a_row() -> None:
    named = [codes(row[0])[0] for row in rows(section(PAGE, 4)) if row[0].startswith("`")]
    assert sorted(named) == sorted(kind.__name__ for kind in lifecycle.TABLE)


def test_every_kind_of_event_and_every_action_is_described() -> None:
    first = [row[0] for row in rows(section(PAGE, 8))]
    assert {str(kind) for kind in EVENT_KINDS} <= set(first)
    actions = {name for cell in first for name in codes(cell)}
    assert set(ACTIONS) | {"approve"} <= actions


def test_every_parameter_of_an_action_is_named() -> None:
    text = section(PAGE, 8)
    assert {name for names in PARAMS.values() for name in names} <= set(codes(text))


def families() -> set[str]:
    """Return the names of all classes of refusals."""
    names, waiting = {"Refusal"}, [Refusal]
    while waiting:
        found = waiting.pop().__subclasses__()
        names |= {kind.__name__ for kind in found}
        waiting += found
    return names


def reasons() -> Iterator[str]:
    """Yield the reason of every refusal that the package makes: it comes first, before the sentence."""
    refusals = families()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            slugs = [text for text in texts[:1] if re.fullmatch(r"[a-z0-9_]+", text)]
            if called(node) in refusals:
                yield from slugs
            elif called(node) in {"__init__", "_require"}:  # a refusal with a class of its own; NIP-98's checks
                yield from (slug for slug in slugs if "_" in slug)


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def test_every_reason_is_listed_and_no_other() -> None:
    tables = [row for row in rows(section(PAGE, 11)) if len(row) == TWO_COLUMNS]
    listed = [name for row in tables for name in codes(row[0])]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(reasons())
