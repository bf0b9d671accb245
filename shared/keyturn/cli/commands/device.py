"""`keyturn device`: set up this device, and invite others."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.commands.registration import TOTP, register, report_authenticator
from keyturn.cli.commands.removal import report_removal
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import GroupId, Json, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, ServerRefusedError
from keyturn.domain.encodings import identifier
from keyturn.proofs.npub import decode_npub

if TYPE_CHECKING:
    from keyturn.device.device import Device
    from keyturn.device.groups.membership import DeviceMembership


class Purpose(StrEnum):
    """The purposes of an invite."""

    JOIN = "join"
    DEVICE = "device"
    TOTP = "totp"


app = typer.Typer(no_args_is_help=True, help="Set up this device, and invite others.")


@app.command()
def invite(
    context: typer.Context,
    *,
    user: Annotated[str, typer.Option(help="Id of the owner of the device.")],
    group: Annotated[str, typer.Option(help="Id of the group that the device joins.")],
    purpose: Annotated[
        Purpose,
        typer.Option(help="join: a first device. device: a further or replaced device. totp: a new authenticator app."),
    ] = Purpose.JOIN,
    subject: Annotated[str | None, typer.Option(help="The user's id at the identity provider, if it differs.")] = None,
    revoke: Annotated[
        list[str] | None,
        typer.Option(metavar="NPUB", help="With --purpose device: a lost device, removed at once. May be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Create a one-time code that lets a device join a group (operator)."""
    session = session_of(context)
    fields: dict[str, object] = {"user": identifier(user), "group_id": identifier(group), "purpose": purpose.value}
    fields |= {} if subject is None else {"subject": subject}
    fields |= {"revoke": [decode_npub(npub) for npub in revoke]} if revoke else {}
    with waiting("Creating the invite"):
        invite_fields = session.server().operator("POST", "/invites", session.operator_token(), fields)
    if json:
        print_json(invite_fields)
    else:
        _report_invite(invite_fields)


@app.command()
def init(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="A name for this device, for example laptop.")],
    json: Json = False,
) -> None:
    """Create this device's keys and its home, encrypted with a passphrase."""
    home = session_of(context).create_home(name)
    if json:
        print_json({"name": home.name, "npub": home.npub, "pubkey": home.public_key})
        return
    print_facts([("name", home.name), ("npub", home.npub)])
    print_note("A lost passphrase can't be recovered. Next: `keyturn login`, then `keyturn device join CODE`.")


@app.command(context_settings={"ignore_unknown_options": True})  # a code may start with a dash
def join(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The code of the invite. It works once.")],
    *,
    security_key: Annotated[
        bool, typer.Option("--security-key", help="Register the plugged-in security key for this device.")
    ] = False,
    totp_uri: Annotated[
        bool,
        typer.Option("--totp-uri", help="Print the authenticator's secret on the first line of stdout, for programs."),
    ] = False,
    json: Json = False,
) -> None:
    """Join a group with the code of an invite, and register this device if the server requires it."""
    session = session_of(context)
    device = session.device()
    result = register(session, device, code.strip(), to_stdout=totp_uri, security_key=security_key)
    if result is not None and result.purpose == TOTP:
        report_authenticator(result, as_json=json)
        return
    with waiting("Joining"):
        membership = _joined(device, code.strip())
    if json:
        print_json(
            {
                "user": membership.user,
                "group": membership.group_id,
                "epoch": membership.group.epoch,
                "members": list(membership.npubs),
            }
        )
        return
    print_facts([("user", membership.user), ("group", membership.group_id), ("members", len(membership.npubs))])


@app.command()
def refresh(
    context: typer.Context,
    *,
    group: Annotated[str | None, typer.Option(help="Only in this group (default: in all groups).")] = None,
    json: Json = False,
) -> None:
    """Replace this device's keys in its groups, so that copies of the old keys become useless."""
    device = session_of(context).device()
    with waiting("Replacing keys"):
        memberships = [device.refresh(group)] if group else device.refresh_all()
    _report_memberships(memberships, as_json=json)


@app.command()
def rejoin(context: typer.Context, group: GroupId, *, json: Json = False) -> None:
    """Rejoin a group with new keys. The inbox does not change."""
    device = session_of(context).device()
    with waiting("Rejoining"):
        membership = device.rejoin(group)
    _report_memberships([membership], as_json=json)


def _report_invite(answer: dict[str, object]) -> None:
    facts = [(name.removesuffix("_id"), answer.get(name)) for name in ("code", "user", "group_id", "purpose", "invite")]
    print_facts([*facts, ("until", moment(answer.get("expires_at")))])
    if answer.get("revoked") is not None:
        report_removal(answers.mapping(answer, "revoked"))
    needed = answers.integer(answer, "needed")
    if needed:
        others = "another admin's approval" if needed == 1 else f"{needed} other admins' approval"
        command = f"keyturn admin approve {answer['invite']} --user {answer['user']} --purpose {answer['purpose']}"
        print_note(f"It needs {others}: `{command}`.")
    print_note("Give the code to the user through a channel that you trust. They run `keyturn device join CODE`.")


def _joined(device: "Device", code: str) -> "DeviceMembership":
    try:
        return device.join(code)
    except ServerRefusedError as refused:
        # A used code is most often one that this device itself used: the hint then says where it is a member.
        groups = [membership.group_id for membership in device.memberships() if membership.is_usable]
        if refused.reason != "invite_used" or not groups:
            raise
        hint = f"This device is already in {', '.join(groups)}. For another group: {refused.hint}"
        raise DeviceError(str(refused), hint) from None


def _report_memberships(memberships: list["DeviceMembership"], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"groups": [{"group": membership.group_id, "epoch": membership.group.epoch} for membership in memberships]}
        )
        return
    rows = (
        [membership.group_id, membership.group.epoch, moment(membership.keys_updated_at)] for membership in memberships
    )
    print_table(("GROUP", "EPOCH", "KEYS OF"), rows, empty="This device is in no group.")
