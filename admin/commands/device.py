"""`keyturn device`: this device, and invites for others."""

from typing import Annotated

import typer

from admin.options import Json
from admin.output import moment, print_facts, print_json, print_note, waiting
from admin.session import session_of
from shared.domain.encodings import identifier

app = typer.Typer(no_args_is_help=True, help="Devices: what an admin receives, acknowledges and signs with.")


@app.command()
def invite(
    context: typer.Context,
    *,
    user: Annotated[str, typer.Option(help="The person that the device belongs to.")],
    group: Annotated[str, typer.Option(help="The group that it joins.")],
    json: Json = False,
) -> None:
    """Make a one-time code for a person's device (operator)."""
    session = session_of(context)
    fields = {"user": identifier(user), "group_id": identifier(group)}
    with waiting("Making the invite"):
        made = session.server().operator("POST", "/invites", session.operator_token(), fields)
    if json:
        print_json(made)
        return
    facts = [(name.removesuffix("_id"), made.get(name)) for name in ("code", "user", "group_id")]
    print_facts([*facts, ("until", moment(made.get("expires_at")))])
    print_note("Give the code to that person by a way that you trust; they run `keyturn device join CODE`.")


@app.command()
def init(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="What its owner calls it, such as laptop.")],
    json: Json = False,
) -> None:
    """Make this device's key and its home, sealed under a passphrase."""
    home = session_of(context).create_home(name)
    if json:
        print_json({"name": home.name, "npub": home.npub, "pubkey": home.public_key})
        return
    print_facts([("name", home.name), ("npub", home.npub)])
    print_note("A lost passphrase can't be recovered. Next: `keyturn device join CODE`.")


@app.command(context_settings={"ignore_unknown_options": True})  # a code may begin with a dash
def join(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The invite's code; it works once.")],
    *,
    json: Json = False,
) -> None:
    """Join a group with an invite's code."""
    device = session_of(context).device()
    with waiting("Joining"):
        seat = device.join(code.strip())
    if json:
        print_json({"user": seat.user, "group": seat.group_id, "epoch": seat.group.epoch, "members": list(seat.npubs)})
        return
    print_facts([("user", seat.user), ("group", seat.group_id), ("members", len(seat.npubs))])
