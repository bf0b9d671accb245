"""`keyturn group`: admin groups, as the operator makes and sees them."""

from typing import Literal

import typer

from admin import answers
from admin.options import GroupId, Json
from admin.output import moment, print_facts, print_json, print_table, waiting
from admin.people import key
from admin.session import session_of
from shared.domain.encodings import identifier

app = typer.Typer(no_args_is_help=True, help="Admin groups: who gets the notices of which clients.")


@app.command()
def create(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Create an admin group (operator)."""
    _report(_call(context, "POST", "/groups", {"group_id": identifier(group)}), as_json=json)


@app.command()
def show(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Show a group's members (operator)."""
    _report(_call(context, "GET", f"/groups/{identifier(group)}", None), as_json=json)


def _call(
    context: typer.Context, method: Literal["GET", "POST"], path: str, fields: dict[str, object] | None
) -> dict[str, object]:
    session = session_of(context)
    with waiting("Asking for the group"):
        return session.server().operator(method, path, session.operator_token(), fields)


def _report(group: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(group)
        return
    print_facts([("group", group.get("group_id")), ("epoch", group.get("epoch"))])
    members = answers.mappings(group, "members")
    titles, empty = ("USER", "NPUB", "LEAF", "JOINED"), "Nobody is in it yet: `keyturn device invite`."
    print_table(titles, map(_member_row, members), empty=empty)


def _member_row(member: dict[str, object]) -> list[object]:
    return [member.get("user"), key(member.get("npub")), member.get("leaf"), moment(member.get("joined_at"))]
