"""`keyturn group`: admin groups, as the operator makes and changes them, and as their members see them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

import typer

from keyturn.cli.commands.departures import Rotate, finish
from keyturn.cli.durations import format_age
from keyturn.cli.options import GroupId, Json
from keyturn.cli.output import print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NoOperatorTokenError
from keyturn.device.core.format_keys import key
from keyturn.domain.encodings import from_milliseconds, identifier

app = typer.Typer(no_args_is_help=True, help="Admin groups: who gets the notices of which clients.")

_REASON = "a recipient was removed from its group"


@app.command()
def create(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Create an admin group (operator)."""
    session = session_of(context)
    made = _operator(session, "POST", "/groups", {"group_id": identifier(group)})
    _report(session, made, as_json=json)


@app.command()
def show(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Show who is in a group: as operator where this user is one, else as a member."""
    session = session_of(context)
    _report(session, _group(session, identifier(group)), as_json=json)


@app.command()
def remove(
    context: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="The person whose devices go.")],
    *,
    group: Annotated[str, typer.Option(help="The group that they are removed from.")],
    rotate: Rotate = False,
    json: Json = False,
) -> None:
    """Remove a person from a group (operator): their devices open no later notice, and their acks count no more."""
    session = session_of(context)
    device = session.device() if rotate else None  # a passphrase that does not open it is told before anything is done
    path, fields = f"/groups/{identifier(group)}/remove", {"user": identifier(user)}
    removed = _operator(session, "POST", path, fields)
    finish(removed, device, _REASON, as_json=json)


def _group(session: Session, group_id: str) -> dict[str, object]:
    try:
        return _operator(session, "GET", f"/groups/{group_id}", None)
    except NoOperatorTokenError:
        device = session.device()
    with waiting("Asking for the group"):
        return device.group(group_id)


def _operator(
    session: Session, method: Literal["GET", "POST"], path: str, fields: Mapping[str, object] | None
) -> dict[str, object]:
    with waiting("Asking for the group"):
        return session.server().operator(method, path, session.operator_token(), fields)


def _report(session: Session, group: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(group)
        return
    print_facts([("group", group.get("group_id")), ("epoch", group.get("epoch"))])
    titles = ("USER", "NPUB", "LEAF", "JOINED", "KEYS", "SEEN")
    members = [_member_row(session, member) for member in answers.mappings(group, "members")]
    print_table(titles, members, empty="Nobody is in it yet: `keyturn device invite`.")
    absent = [_member_row(session, member) for member in answers.mappings(group, "absent")]
    if absent:
        print_note("Absent, until they come back with new keys:")
        print_table(titles, absent, empty="")


def _member_row(session: Session, member: dict[str, object]) -> list[object]:
    times = [_age(session, member.get(name)) for name in ("joined_at", "updated_at", "seen_at")]
    return [member.get("user"), key(member.get("npub")), member.get("leaf"), *times]


def _age(session: Session, milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        return "never"
    passed = session.ports.now() - from_milliseconds(milliseconds)
    return f"{format_age(max(passed, timedelta()))} ago"
