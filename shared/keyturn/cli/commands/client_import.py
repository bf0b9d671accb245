"""`keyturn client import`: add clients with the hashes of another system from a CSV or JSON Lines file."""

import codecs
import csv
import json as json_module
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from keyturn.cli import standard_input
from keyturn.cli.output import print_facts, print_json, print_table, waiting
from keyturn.cli.session import Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.proofs.strict_json import load_object

PAGE_ROWS = 100
PAGE_CHARACTERS = 100_000
"""A page is sent when it reaches either limit, because a request body has at most 256 KiB."""
INCOMPLETE = 1
_COLUMNS = ("client_id", "groups", "kind", "secret_hash")
_REQUIRED = frozenset({"client_id", "secret_hash"})
_KINDS = {"oauth2": "oauth2_client_secret", "x-api-key": "x_api_key"}
_SENTENCES = {
    "bad_hash": "secret_hash is no bcrypt, PBKDF2 or Argon2id hash of a supported form and cost",
    "bad_identifier": "client_id or a group is not a valid id",
    "bad_groups": "groups must name at least one group, each once (or give --group)",
    "bad_field": "a field is missing, too long or of the wrong type",
    "bad_json": "the line is not a JSON object",
    "bad_csv": "the line is not CSV, and the rest was not read",
    "bad_columns": "the line has more or fewer fields than the header",
    "client_exists": "a different client with that id exists",
    "unknown_group": "the group does not exist: keyturn group create",
    "unknown_kind": "kind must be oauth2 or x-api-key",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file: its number, and the fields to send or the reason why it is not sent."""

    number: int
    fields: Mapping[str, object] | None = None
    reason: str = ""


def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Columns (CSV with a header, or JSON lines): client_id, secret_hash, groups, kind. -: stdin.",
        ),
    ],
    *,
    group: Annotated[list[str] | None, typer.Option(help="The group of rows without groups. May be repeated.")] = None,
    json: Json = False,
) -> None:
    """Add clients with the bcrypt, PBKDF2 or Argon2id hashes of their existing secrets (operator).

    Those secrets keep working until the grace period of the first rotation ends.
    Existing clients do not change, so a file can be imported again.
    Bad rows are listed by line and do not stop the others.
    """
    session = session_of(context)
    groups = [identifier(item) for item in group or ()]
    text = _read(file)
    added, existing, bad_rows = _import_lines(session, _lines(text, groups))
    listed_rows = [{"line": line, "reason": reason} for line, reason in bad_rows]
    if json:
        print_json({"added": added, "known": existing, "refused": listed_rows})
    else:
        print_facts([("added", added), ("already there", existing), ("refused", len(bad_rows))])
        if bad_rows:
            rows = [(line, reason, _SENTENCES.get(reason, "")) for line, reason in bad_rows]
            print_table(("LINE", "REASON", "WHAT TO DO"), rows, empty="")
    if bad_rows:
        raise typer.Exit(INCOMPLETE)


def _import_lines(session: Session, lines: Iterable[Line]) -> tuple[int, int, list[tuple[int, str]]]:
    server, token = session.server(), session.operator_token()
    added = existing = 0
    bad_rows: list[tuple[int, str]] = []
    with waiting("Importing") as show:
        for page in _pages(lines):
            bad_rows += [(line.number, line.reason) for line in page if line.fields is None]
            to_send = [line for line in page if line.fields is not None]
            answer = server.operator("POST", "/imports", token, {"clients": [line.fields for line in to_send]})
            added += len(answers.texts(answer, "added"))
            existing += len(answers.texts(answer, "known"))
            for item in answers.mappings(answer, "refused"):
                bad_rows.append((to_send[answers.integer(item, "index")].number, answers.text(item, "reason")))
            show(f"Importing: {added} added, {existing} already there, {len(bad_rows)} refused")
    return added, existing, sorted(bad_rows)


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
        data = standard_input.read_all() if str(file) == "-" else file.read_bytes()
        # Spreadsheets write a byte order mark, and some of them UTF-16.
        is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UsageError("The file can't be read as text.", "Check the path, and that the file is in UTF-8.") from None


def _lines(text: str, groups: list[str]) -> Iterator[Line]:
    lines = _json_lines(text) if text.lstrip().startswith("{") else _csv_lines(text)
    return (_sendable(line, groups) for line in lines)


def _json_lines(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield Line(number, load_object(line))
            except InvalidRequest:
                yield Line(number, reason="bad_json")


def _csv_lines(text: str) -> Iterator[Line]:
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, strict=True, delimiter=_delimiter(lines[0] if lines else ""))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if not set(header) >= _REQUIRED or len(set(header)) != len(header):
            raise UsageError(
                "The file is neither JSON lines nor CSV with the columns client_id and secret_hash.",
                "Its first line must name the columns: client_id,groups,kind,secret_hash.",
            )
        for row in reader:
            if len(row) == len(header) and any(map(str.strip, row)):
                yield Line(reader.line_num, dict(zip(header, map(str.strip, row), strict=True)))
            elif any(map(str.strip, row)):  # a spreadsheet writes an empty row as separators or nothing
                yield Line(reader.line_num, reason="bad_columns")
    except csv.Error:  # its message may quote the line, which may hold a secret
        yield Line(reader.line_num, reason="bad_csv")


def _delimiter(header: str) -> str:
    """Return what separates the columns: spreadsheets write semicolons where the comma is the decimal separator."""
    return max(",;\t", key=header.count)


def _sendable(line: Line, groups: list[str]) -> Line:
    if line.fields is None:
        return line
    # Other columns stay here: a file may also hold plaintext secrets by mistake.
    fields = {name: line.fields[name] for name in _COLUMNS if line.fields.get(name) not in (None, "")}
    own_groups = fields.get("groups")
    fields["groups"] = (own_groups.replace(";", " ").split() if isinstance(own_groups, str) else own_groups) or groups
    kind = fields.get("kind")
    if isinstance(kind, str):
        fields["kind"] = _KINDS.get(kind.strip(), kind.strip())
    return Line(line.number, fields)
