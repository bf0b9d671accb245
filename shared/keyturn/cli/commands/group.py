"""`keyturn group`: create, show and change admin groups."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

import typer

from keyturn.cli.commands.removal import Rotate, finish
from keyturn.cli.durations import format_age
from keyturn.cli.output import print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import GroupId, Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NoOperatorTokenError
from keyturn.device.core.format_keys import key
from keyturn.domain.encodings import from_milliseconds, identifier

app = typer.Typer(
    no_args_is_help=True, help="Create, show and change admin groups, which receive the secrets of their clients."
)

_REASON = "a recipient was removed from its group"


@app.command()
def create(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Create an admin group (operator)."""
    session = session_of(context)
    group_fields = _operator(session, "POST", "/groups", {"group_id": identifier(group)})
    _report(session, group_fields, as_json=json)


@app.command()
def show(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Show the members of a group, as operator or as a member."""
    session = session_of(context)
    _report(session, _group(session, identifier(group)), as_json=json)


@app.command()
def remove(
    context: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="Id of the user to remove, with all devices.")],
    *,
    group: Annotated[str, typer.Option(help="Id of the group.")],
    rotate: Rotate = False,
    json: Json = False,
) -> None:
    """Remove a user's devices from a group: they can't read later secrets or acknowledge (operator)."""
    session = session_of(context)
    device = session.device() if rotate else None  # a wrong passphrase fails before anything changes
    path, fields = f"/groups/{identifier(group)}/remove", {"user": identifier(user)}
    answer = _operator(session, "POST", path, fields)
    finish(answer, device, _REASON, as_json=json)


def _group(session: Session, group_id: str) -> dict[str, object]:
    try:
        return _operator(session, "GET", f"/groups/{group_id}", None)
    except NoOperatorTokenError:  # members may see their group, too
        device = session.device()
    with waiting("Reading the group"):
        return device.group(group_id)


def _operator(
    session: Session, method: Literal["GET", "POST"], path: str, fields: Mapping[str, object] | None
) -> dict[str, object]:
    with waiting("Reading the group"):
        return session.server().operator(method, path, session.operator_token(), fields)


def _report(session: Session, group: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(group)
        return
    print_facts([("group", group.get("group_id")), ("epoch", group.get("epoch"))])
    titles = ("USER", "NPUB", "LEAF", "JOINED", "KEYS", "SEEN")
    members = [_member_row(session, member) for member in answers.mappings(group, "members")]
    print_table(titles, members, empty="The group has no members yet: `keyturn device invite`.")
    absent = [_member_row(session, member) for member in answers.mappings(group, "absent")]
    if absent:
        print_note("Absent until they rejoin with new keys:")
        print_table(titles, absent, empty="")


def _member_row(session: Session, member: dict[str, object]) -> list[object]:
    times = [_age(session, member.get(name)) for name in ("joined_at", "updated_at", "seen_at")]
    return [member.get("user"), key(member.get("npub")), member.get("leaf"), *times]


def _age(session: Session, milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        return "never"
    age = session.ports.now() - from_milliseconds(milliseconds)
    return f"{format_age(max(age, timedelta()))} ago"
