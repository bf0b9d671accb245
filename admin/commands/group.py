"""`keyturn group`: admin groups, as the operator makes and changes them, and as their members see them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from admin import answers
from admin.durations import format_age
from admin.errors import DeviceError, EndedOtherwiseError, NoOperatorTokenError
from admin.options import GroupId, Json
from admin.output import print_facts, print_json, print_note, print_table, print_warning, waiting
from admin.people import key
from admin.session import Session, session_of
from shared.domain.encodings import from_milliseconds, identifier

if TYPE_CHECKING:
    from admin.device import Device

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
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Have this device ask for a rotation of what they have received.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove a person from a group (operator): their devices open no later notice, and their acks count no more."""
    session = session_of(context)
    device = session.device() if rotate else None  # a passphrase that does not open it is told before anything is done
    path, fields = f"/groups/{identifier(group)}/remove", {"user": identifier(user)}
    removed = _operator(session, "POST", path, fields)
    opened, refused = ([], {}) if device is None else _rotated(device, answers.texts(removed, "received"))
    if json:
        print_json({**removed, "rotations": opened, "refused": refused} if rotate else removed)
    else:
        _report_removal(removed, opened)
    if refused:
        raise EndedOtherwiseError("Not every client could be rotated.", "Rotate those by hand: `keyturn rotate`.")


def _rotated(device: "Device", clients: list[str]) -> tuple[list[dict[str, object]], dict[str, str]]:
    opened: list[dict[str, object]] = []
    refused: dict[str, str] = {}
    for client_id in clients:
        try:
            with waiting(f"Asking for a rotation of {client_id}"):
                opened.append(device.rotate(client_id, _REASON))
        except DeviceError as stopped:  # one that is refused holds up no other
            print_warning(f"{client_id}: {stopped} {stopped.hint}")
            refused[client_id] = str(stopped)
    return opened, refused


def _report_removal(removed: dict[str, object], opened: list[dict[str, object]]) -> None:
    devices = ", ".join(str(key(npub)) for npub in answers.texts(removed, "devices"))
    received = answers.texts(removed, "received")
    canceled = ", ".join(answers.texts(removed, "canceled"))
    asked = ", ".join(answers.text(answer, "rotation_id") for answer in opened)
    print_facts([("devices removed", devices), ("rotations canceled", canceled), ("rotations asked for", asked)])
    print_facts([("they know secrets of", ", ".join(received))])
    if received and not opened:
        print_note("Those secrets are live and known to them: rotate these clients.")


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
