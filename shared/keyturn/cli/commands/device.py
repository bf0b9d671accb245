"""`keyturn device`: this device, and invites for others."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.commands.departures import report_gone
from keyturn.cli.commands.registering import TOTP, register, report_authenticator
from keyturn.cli.options import GroupId, Json
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, ServerRefusedError
from keyturn.domain.encodings import identifier
from keyturn.proofs.npub import decode_npub

if TYPE_CHECKING:
    from keyturn.device.device import Device
    from keyturn.device.groups.membership import DeviceMembership


class Purpose(StrEnum):
    """What an invite is for."""

    JOIN = "join"
    DEVICE = "device"
    TOTP = "totp"


app = typer.Typer(no_args_is_help=True, help="Devices: what an admin receives, acknowledges and signs with.")


@app.command()
def invite(
    context: typer.Context,
    *,
    user: Annotated[str, typer.Option(help="The person that the device belongs to.")],
    group: Annotated[str, typer.Option(help="The group that it joins.")],
    purpose: Annotated[
        Purpose, typer.Option(help="For a first device, a further or lost one's, or a new authenticator.")
    ] = Purpose.JOIN,
    subject: Annotated[
        str | None, typer.Option(help="The person's id at the identity provider, where it is another.")
    ] = None,
    revoke: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NPUB", help="With --purpose device: a lost device, which is out at once; may be repeated."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a one-time code for a person's device (operator)."""
    session = session_of(context)
    fields: dict[str, object] = {"user": identifier(user), "group_id": identifier(group), "purpose": purpose.value}
    fields |= {} if subject is None else {"subject": subject}
    fields |= {"revoke": [decode_npub(npub) for npub in revoke]} if revoke else {}
    with waiting("Making the invite"):
        made = session.server().operator("POST", "/invites", session.operator_token(), fields)
    if json:
        print_json(made)
    else:
        _report_invite(made)


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
    print_note("A lost passphrase can't be recovered. Next: `keyturn login`, then `keyturn device join CODE`.")


@app.command(context_settings={"ignore_unknown_options": True})  # a code may begin with a dash
def join(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The invite's code; it works once.")],
    *,
    security_key: Annotated[
        bool, typer.Option("--security-key", help="Have the security key that is plugged in vouch for this device.")
    ] = False,
    totp_uri: Annotated[
        bool,
        typer.Option("--totp-uri", help="Print the authenticator's secret to stdout, first of all, for a program."),
    ] = False,
    json: Json = False,
) -> None:
    """Register this device, where that is asked for, and join a group with an invite's code."""
    session = session_of(context)
    device = session.device()
    registered = register(session, device, code.strip(), to_stdout=totp_uri, security_key=security_key)
    if registered is not None and registered.purpose == TOTP:
        report_authenticator(registered, as_json=json)
        return
    with waiting("Joining"):
        seat = _joined(device, code.strip())
    if json:
        print_json({"user": seat.user, "group": seat.group_id, "epoch": seat.group.epoch, "members": list(seat.npubs)})
        return
    print_facts([("user", seat.user), ("group", seat.group_id), ("members", len(seat.npubs))])


@app.command()
def refresh(
    context: typer.Context,
    *,
    group: Annotated[str | None, typer.Option(help="Only in this group; otherwise in all of them.")] = None,
    json: Json = False,
) -> None:
    """Replace this device's keys in its groups, so that who once copied them reads no further."""
    device = session_of(context).device()
    with waiting("Replacing keys"):
        seats = [device.refresh(group)] if group else device.refresh_all()
    _report_seats(seats, as_json=json)


@app.command()
def rejoin(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Come back to a group with a fresh key package; the inbox stays."""
    device = session_of(context).device()
    with waiting("Coming back"):
        seat = device.rejoin(group)
    _report_seats([seat], as_json=json)


def _report_invite(made: dict[str, object]) -> None:
    facts = [(name.removesuffix("_id"), made.get(name)) for name in ("code", "user", "group_id", "purpose", "invite")]
    print_facts([*facts, ("until", moment(made.get("expires_at")))])
    if made.get("revoked") is not None:
        report_gone(answers.mapping(made, "revoked"))
    needed = answers.integer(made, "needed")
    if needed:
        others = "another admin's approval" if needed == 1 else f"{needed} other admins' approval"
        command = f"keyturn admin approve {made['invite']} --user {made['user']} --purpose {made['purpose']}"
        print_note(f"It waits for {others}: `{command}`.")
    print_note("Give the code to that person by a way that you trust; they run `keyturn device join CODE`.")


def _joined(device: "Device", code: str) -> "DeviceMembership":
    try:
        return device.join(code)
    except ServerRefusedError as refused:
        groups = [seat.group_id for seat in device.memberships() if seat.is_usable]
        if refused.reason != "invite_used" or not groups:
            raise
        hint = f"This device is in {', '.join(groups)} already. For another group: {refused.hint}"
        raise DeviceError(str(refused), hint) from None


def _report_seats(seats: list["DeviceMembership"], *, as_json: bool) -> None:
    if as_json:
        print_json({"groups": [{"group": seat.group_id, "epoch": seat.group.epoch} for seat in seats]})
        return
    rows = ([seat.group_id, seat.group.epoch, moment(seat.keys_updated_at)] for seat in seats)
    print_table(("GROUP", "EPOCH", "KEYS OF"), rows, empty="This device is in no group.")
