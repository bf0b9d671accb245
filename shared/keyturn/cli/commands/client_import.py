"""`keyturn client import`: clients that come with their bcrypt hashes, from a CSV file or one of JSON lines."""

import csv
import json as json_module
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from keyturn.cli.options import Json
from keyturn.cli.output import print_facts, print_json, print_table, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.proofs.strict_json import load_object

PAGE_ROWS = 100
PAGE_CHARACTERS = 100_000
"""A page is sent when it holds so many of either: a body is at most 256 KiB."""
INCOMPLETE = 1
_COLUMNS = ("client_id", "groups", "kind", "secret_hash")
_REQUIRED = frozenset({"client_id", "secret_hash"})
_KINDS = {"oauth2": "oauth2_client_secret", "x-api-key": "x_api_key"}
_SENTENCES = {
    "bad_hash": "secret_hash is no bcrypt hash ($2a$, $2b$ or $2y$, cost 4 to 14)",
    "bad_identifier": "client_id or a group is no id",
    "bad_groups": "groups must name at least one group, each once (or give --group)",
    "bad_field": "a field is missing, of another type or too long",
    "bad_json": "the line is no JSON object",
    "bad_csv": "the line is no CSV; nothing after it was read",
    "bad_columns": "the line has more or fewer fields than the header",
    "client_exists": "there is a client of that id, and it is another one",
    "unknown_group": "there is no such group: keyturn group create",
    "unknown_kind": "kind is oauth2 or x-api-key",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file: where it stands, and what is sent of it; or why it is not."""

    number: int
    fields: Mapping[str, object] | None = None
    reason: str = ""


def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Columns (CSV with a header, or JSON lines): client_id, secret_hash (bcrypt), groups, kind. -: stdin.",
        ),
    ],
    *,
    group: Annotated[list[str] | None, typer.Option(help="The groups of rows that name none; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """Add clients with the bcrypt hashes of the secrets that they have (operator).

    They go on with those secrets until the grace of their first rotation ends. What is there already stays as it is, so
    a file may be imported again; bad rows are told by line, and hold up no other.
    """
    session = session_of(context)
    groups = [identifier(item) for item in group or ()]
    text = _read(file)
    added, known, refused = _imported(session, _lines(text, groups))
    told = [{"line": line, "reason": reason} for line, reason in refused]
    if json:
        print_json({"added": added, "known": known, "refused": told})
    else:
        print_facts([("added", added), ("there already", known), ("refused", len(refused))])
        if refused:
            rows = [(line, reason, _SENTENCES.get(reason, "")) for line, reason in refused]
            print_table(("LINE", "REASON", "WHAT TO DO"), rows, empty="")
    if refused:
        raise typer.Exit(INCOMPLETE)


def _imported(session: Session, lines: Iterable[Line]) -> tuple[int, int, list[tuple[int, str]]]:
    server, token = session.server(), session.operator_token()
    added = known = 0
    refused: list[tuple[int, str]] = []
    with waiting("Importing") as say:
        for page in _pages(lines):
            refused += [(line.number, line.reason) for line in page if line.fields is None]
            sent = [line for line in page if line.fields is not None]
            done = server.operator("POST", "/imports", token, {"clients": [line.fields for line in sent]})
            added += len(answers.texts(done, "added"))
            known += len(answers.texts(done, "known"))
            for item in answers.mappings(done, "refused"):
                refused.append((sent[answers.integer(item, "index")].number, answers.text(item, "reason")))
            say(f"Importing: {added} added, {known} there already, {len(refused)} refused")
    return added, known, sorted(refused)


def _pages(lines: Iterable[Line]) -> Iterator[list[Line]]:
    page: list[Line] = []
    size = 0
    for line in lines:
        page.append(line)
        size += len(json_module.dumps(line.fields))
        if len(page) >= PAGE_ROWS or size >= PAGE_CHARACTERS:
            yield page
            page, size = [], 0
    if page:
        yield page


def _read(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UsageError("The file can't be read as text.", "Is the path right, and the file in UTF-8?") from None


def _lines(text: str, groups: list[str]) -> Iterator[Line]:
    found = _json_lines(text) if text.lstrip().startswith("{") else _csv_lines(text)
    return (_sendable(line, groups) for line in found)


def _json_lines(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield Line(number, load_object(line))
            except InvalidRequest:
                yield Line(number, reason="bad_json")


def _csv_lines(text: str) -> Iterator[Line]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if not set(header) >= _REQUIRED or len(set(header)) != len(header):
            raise UsageError(
                "The file is neither JSON lines nor CSV with the columns client_id and secret_hash.",
                "Its first line must name the columns: client_id,groups,kind,secret_hash.",
            )
        for row in reader:
            if len(row) == len(header):
                yield Line(reader.line_num, dict(zip(header, row, strict=True)))
            elif row:
                yield Line(reader.line_num, reason="bad_columns")
    except csv.Error:  # its text may quote the line
        yield Line(reader.line_num, reason="bad_csv")


def _sendable(line: Line, groups: list[str]) -> Line:
    if line.fields is None:
        return line
    fields = {name: line.fields[name] for name in _COLUMNS if line.fields.get(name) not in (None, "")}
    named = fields.get("groups")
    fields["groups"] = (named.replace(";", " ").split() if isinstance(named, str) else named) or groups
    kind = fields.get("kind")
    if isinstance(kind, str):
        fields["kind"] = _KINDS.get(kind.strip(), kind.strip())
    return Line(line.number, fields)
