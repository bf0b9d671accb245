"""`keyturn leak`: identify a leaked secret, and revoke it.

The secret stays on this machine. It is compared with the receipt keys of all versions, which are public, and the
revocation is proved with a signature by a key that is derived from it (docs/protocol.md §8).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hmac import compare_digest
from typing import Annotated

import typer

from keyturn.cli.commands.check import presented_secret
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_warning, waiting
from keyturn.cli.session import Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UnreachableError
from keyturn.domain.encodings import base64url_encode, identifier, to_milliseconds, ulid
from keyturn.domain.imported_secret import presentable
from keyturn.domain.secret_format import checksum_holds, hint_of, well_formed
from keyturn.proofs.receipts import LeakReport, receipt_key, sign_leak_report

NONE_OF_OURS = 1
_PAUSES = (1.0, 2.0)
# Only these versions work or will work: there is nothing to revoke in the others.
_ALIVE = frozenset({"pending", "current", "grace"})
_NO_FORM = (
    "The value does not have the form of a keyturn secret. Pipe in the bare value, without quotes. For the secret of an"
    " imported client, which may have any form, add --client."
)
_SCAN = (
    "The value has no hint, and --client is missing: all versions of all clients are fetched and compared. The store"
    " reads one document per version, which Firestore bills."
)


@dataclass(slots=True)
class Search:
    """The number of versions tried so far. `untried` are imported versions: only the server can check their hashes."""

    tried: int = 0
    clients: int = 0
    untried: int = 0


def leak(
    context: typer.Context,
    *,
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT_ID", help="The client of the secret, if known. This is much faster.")
    ] = None,
    revoke: Annotated[
        bool,
        typer.Option("--revoke", help="Revoke it and its tokens at once, and request an emergency rotation."),
    ] = False,
    json: Json = False,
) -> None:
    """Identify which client and version a secret on standard input belongs to (operator).

    Exit code: 0 found, 1 not found. Retired versions are found, too.
    The secret is compared on this machine and not sent.
    Only with --client, the server checks a possible secret of an imported client.
    """
    session = session_of(context)
    value = presented_secret(session)
    _warn_of_form(value)
    search = Search()
    with waiting("Looking") as show:
        version = _find(session, value, client, search, show)
    if version is None:
        _report_none(search, as_json=json)
        raise typer.Exit(NONE_OF_OURS)
    revocation = _revoke(session, value, version) if revoke and version["state"] in _ALIVE else None
    _report(version, revocation, search, as_json=json)


def _warn_of_form(value: str) -> None:
    if not well_formed(value):
        print_warning(_NO_FORM)
    elif hint_of(value) is not None and not checksum_holds(value):
        print_warning("The checksum of the value is wrong: it is incomplete, mistyped or invented.")


# --- identify ------------------------------------------------------------------------------------------------------


def _find(
    session: Session, value: str, client: str | None, search: Search, show: Callable[[str], None]
) -> dict[str, object] | None:
    for versions in _batches(session, value, client):
        search.clients += len({version.get("client_id") for version in versions})
        search.untried += sum(version.get("imported") is True for version in versions)
        for version in versions:
            if _is_of(value, version, search):
                return version
        show(f"Tried {search.tried} versions of {search.clients} clients")
        if client is not None and (imported := _accepted_import(session, value, client, versions)):
            return imported
    return None


def _batches(session: Session, value: str, client: str | None) -> Iterator[list[dict[str, object]]]:
    hint = hint_of(value)
    if client is not None:
        yield _versions(session, f"?client_id={identifier(client)}")[0]
    elif hint is not None:
        yield _versions(session, f"?hint={hint}")[0]
    else:
        print_note(_SCAN, err=True)
        yield from _all(session)


def _all(session: Session) -> Iterator[list[dict[str, object]]]:
    query: str | None = ""
    while query is not None:
        versions, following = _versions(session, query)
        yield versions
        query = None if following is None else f"?after={identifier(following)}"


def _versions(session: Session, query: str) -> tuple[list[dict[str, object]], str | None]:
    page = session.server().operator("GET", f"/versions{query}", session.operator_token())
    return answers.mappings(page, "versions"), answers.optional_text(page, "next")


def _is_of(value: str, version: dict[str, object], search: Search) -> bool:
    key = answers.optional_text(version, "receipt_key")
    # Values of another form are skipped: deriving a key for each version would be slow and never match.
    if key is None or not well_formed(value):
        return False
    search.tried += 1
    ids = {name: answers.text(version, name) for name in ("client_id", "version_id", "rotation_id")}
    return compare_digest(base64url_encode(receipt_key(value, **ids)), key)


def _accepted_import(
    session: Session, value: str, client: str, versions: list[dict[str, object]]
) -> dict[str, object] | None:
    live = {item["version_id"]: item for item in versions if item.get("imported") is True and item["state"] in _ALIVE}
    # An imported version has only a bcrypt hash, which the server alone can check. No other value is sent to it.
    if not live or not presentable(value):
        return None
    verdict = session.server().check(client, value)
    return live.get(verdict.get("version_id"))


# --- revoke --------------------------------------------------------------------------------------------------------


def _revoke(session: Session, value: str, version: dict[str, object]) -> dict[str, object]:
    # The id of the next rotation and the signature are made once: a retry sends the same request.
    now = session.ports.now()
    report = LeakReport(
        client_id=answers.text(version, "client_id"),
        version_id=answers.text(version, "version_id"),
        made_by=answers.text(version, "rotation_id"),
        replaced_by=ulid(now, session.ports.random(10)),
        sighted_at=to_milliseconds(now),
    )
    fields = {
        "client_id": report.client_id,
        "version_id": report.version_id,
        "made_by": report.made_by,
        "rotation_id": report.replaced_by,
        "sighted_at": report.sighted_at,
        "signature": sign_leak_report(value, report),
    }
    with waiting("Revoking"):
        return _persistently(session, fields)


def _persistently(session: Session, fields: dict[str, object]) -> dict[str, object]:
    """Send it at most three times until there is an answer. The server executes the same request once."""
    server, token = session.server(), session.operator_token()
    for pause in _PAUSES:
        try:
            return server.operator("POST", "/leak/revoke", token, fields)
        except UnreachableError:
            session.ports.sleep(pause)
    return server.operator("POST", "/leak/revoke", token, fields)


def _report_none(search: Search, *, as_json: bool) -> None:
    if as_json:
        print_json({"found": False, "tried": search.tried, "untried": search.untried})
        return
    result = "It is none of the versions that were tried" if search.untried else "It is not a secret of this service"
    print_note(f"{result}: {search.tried} versions of {search.clients} clients were tried.")
    if search.untried:
        note = f"{search.untried} imported versions can't be tried here: run it with --client for each of them."
        print_note(note)


def _report(version: dict[str, object], revocation: dict[str, object] | None, search: Search, *, as_json: bool) -> None:
    names = ("client_id", "version_id", "state", "retired_because", "created_at", "imported")
    fields = {name: version.get(name) for name in names}
    if as_json:
        print_json({"found": True, **fields, "revoked": revocation, "tried": search.tried})
        return
    facts = [("client", fields["client_id"]), ("version", fields["version_id"]), ("state", fields["state"])]
    because = [("because", fields["retired_because"])] if fields["retired_because"] else []
    print_facts([*facts, *because, ("made", moment(fields["created_at"]))])
    if revocation is not None:
        _report_revocation(revocation)
    elif fields["state"] in _ALIVE:
        print_warning("The secret works, or will work: run this again with --revoke to revoke it.")
    else:
        print_note("The secret is retired and works nowhere: there is nothing to revoke.")


def _report_revocation(revocation: dict[str, object]) -> None:
    print_note(f"Revoked: every verifier refuses it within {revocation.get('effective_within_seconds')} s.")
    rotation = answers.optional_text(revocation, "rotation_id")
    if rotation is not None:
        needed = answers.integer(revocation, "quorum")
        print_note(f"An emergency rotation was requested. {needed} of its admins must run: keyturn ack {rotation}")
    elif revocation.get("refused"):
        print_warning(
            f"No emergency rotation could be requested ({answers.text(revocation, 'refused')}): see docs/runbook.md."
        )
    if revocation.get("status") == "suspended":
        print_warning("It was the last live version: the client is locked out until the next version is acknowledged.")
