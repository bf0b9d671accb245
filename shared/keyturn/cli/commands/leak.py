"""`keyturn leak`: whose secret is this that was found where it should not be, and an end to it.

The value stays on this machine: what is compared with are receipt keys, which are public, and what is sent to end it is
a signature.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hmac import compare_digest
from typing import Annotated

import typer

from keyturn.cli.commands.check import presented_secret
from keyturn.cli.options import Json
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_warning, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UnreachableError
from keyturn.domain.bcrypt_import import presentable
from keyturn.domain.encodings import base64url_encode, identifier, to_milliseconds, ulid
from keyturn.domain.secret_format import checksum_holds, hint_of, well_formed
from keyturn.proofs.receipts import LeakReport, receipt_key, sign_leak_report

NONE_OF_OURS = 1
_PAUSES = (1.0, 2.0)
_ALIVE = frozenset({"pending", "current", "grace"})
_NO_FORM = (
    "No secret that was born here has that form. Give the bare value, without quotes or what stands around it; an"
    " imported client's, which may have any form, with --client."
)
_SCAN = (
    "Neither hint nor --client: every version of every client is fetched and tried here. The store reads one document"
    " for each of them (on Firestore that is what it costs)."
)


@dataclass(slots=True)
class Search:
    """What was tried so far; `untried` are imported versions, whose secrets only their own door can tell."""

    tried: int = 0
    clients: int = 0
    untried: int = 0


def leak(
    context: typer.Context,
    *,
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT_ID", help="The client that it may be of: much quicker.")
    ] = None,
    revoke: Annotated[
        bool,
        typer.Option("--revoke", help="End it at once: revoked, its tokens dead, an emergency rotation asked for."),
    ] = False,
    json: Json = False,
) -> None:
    """Tell which client and version the value on standard input is of (operator): exit code 0, or 1 for none.

    Retired versions count, too. The value is compared on this machine and sent nowhere; with --client, one that may be
    an imported client's is checked by the server as an integrator's would be.
    """
    session = session_of(context)
    value = presented_secret(session)
    _warn_of_form(value)
    search = Search()
    with waiting("Looking") as say:
        found = _found(session, value, client, search, say)
    if found is None:
        _report_none(search, as_json=json)
        raise typer.Exit(NONE_OF_OURS)
    burnt = _revoked(session, value, found) if revoke and found["state"] in _ALIVE else None
    _report(found, burnt, search, as_json=json)


def _warn_of_form(value: str) -> None:
    if not well_formed(value):
        print_warning(_NO_FORM)
    elif hint_of(value) is not None and not checksum_holds(value):
        print_warning("The value's checksum is wrong: it was cut, mistyped or made up.")


# --- which one is it -----------------------------------------------------------------------------------------------


def _found(
    session: Session, value: str, client: str | None, search: Search, say: Callable[[str], None]
) -> dict[str, object] | None:
    for versions in _batches(session, value, client):
        search.clients += len({version.get("client_id") for version in versions})
        search.untried += sum(version.get("imported") is True for version in versions)
        for version in versions:
            if _is_of(value, version, search):
                return version
        say(f"Tried {search.tried} versions of {search.clients} clients")
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
    if key is None or not well_formed(value):
        return False
    search.tried += 1
    ids = {name: answers.text(version, name) for name in ("client_id", "version_id", "rotation_id")}
    return compare_digest(base64url_encode(receipt_key(value, **ids)), key)


def _accepted_import(
    session: Session, value: str, client: str, versions: list[dict[str, object]]
) -> dict[str, object] | None:
    live = {item["version_id"]: item for item in versions if item.get("imported") is True and item["state"] in _ALIVE}
    if not live or not presentable(value):
        return None
    verdict = session.server().check(client, value)
    return live.get(verdict.get("version_id"))


# --- and an end to it ----------------------------------------------------------------------------------------------


def _revoked(session: Session, value: str, found: dict[str, object]) -> dict[str, object]:
    now = session.ports.now()
    report = LeakReport(
        client_id=answers.text(found, "client_id"),
        version_id=answers.text(found, "version_id"),
        made_by=answers.text(found, "rotation_id"),
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
    """Send it until there is an answer, three times at most: the same request is carried out once."""
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
    known = "It is none of those" if search.untried else "It is none of ours"
    print_note(f"{known}: {search.tried} versions of {search.clients} clients were tried.")
    if search.untried:
        note = f"{search.untried} imported versions can't be tried from here: ask with --client, one by one."
        print_note(note)


def _report(found: dict[str, object], burnt: dict[str, object] | None, search: Search, *, as_json: bool) -> None:
    names = ("client_id", "version_id", "state", "retired_because", "created_at", "imported")
    shown = {name: found.get(name) for name in names}
    if as_json:
        print_json({"found": True, **shown, "revoked": burnt, "tried": search.tried})
        return
    facts = [("client", shown["client_id"]), ("version", shown["version_id"]), ("state", shown["state"])]
    because = [("because", shown["retired_because"])] if shown["retired_because"] else []
    print_facts([*facts, *because, ("made", moment(shown["created_at"]))])
    if burnt is not None:
        _report_end(burnt)
    elif shown["state"] in _ALIVE:
        print_warning("It verifies, or will: the same again with --revoke ends it.")
    else:
        print_note("It verifies nowhere any more: there is nothing to end. Who still presents it has an old copy.")


def _report_end(burnt: dict[str, object]) -> None:
    print_note(f"Revoked: no verifier takes it later than {burnt.get('effective_within_seconds')} s from now.")
    rotation = answers.optional_text(burnt, "rotation_id")
    if rotation is not None:
        needed = answers.integer(burnt, "quorum")
        print_note(f"An emergency rotation is on its way. {needed} of its admins: keyturn ack {rotation}")
    elif burnt.get("refused"):
        print_warning(f"No emergency rotation could be asked for ({answers.text(burnt, 'refused')}): see the runbook.")
    if burnt.get("status") == "suspended":
        print_warning(
            "It was the last live version: nothing of the client verifies until the next one is acknowledged."
        )
