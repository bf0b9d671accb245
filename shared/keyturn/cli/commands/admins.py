"""`keyturn admin`: approve invites, and, as operator, list, suspend, resume and remove admins."""

from enum import StrEnum
from typing import Annotated, Literal

import typer

from keyturn.cli.commands.removal import Rotate, finish
from keyturn.cli.output import print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.format_keys import key
from keyturn.domain.encodings import identifier

app = typer.Typer(no_args_is_help=True, help="Approve, list, suspend, resume and remove admins.")


class ApprovalPurpose(StrEnum):
    """The purposes that another admin can approve."""

    JOIN = "join"
    DEVICE = "device"
    TOTP = "totp"
    RESUME = "resume"


User = Annotated[str, typer.Argument(metavar="USER", help="Id of the user.")]
Invite = Annotated[
    str, typer.Argument(metavar="INVITE", help="Id of the invite, as `device invite` prints it (not the code).")
]


@app.command()
def approve(
    context: typer.Context,
    invite: Invite,
    *,
    user: Annotated[str, typer.Option(help="Id of the user that you approve.")],
    purpose: Annotated[ApprovalPurpose, typer.Option(help="The purpose that you approve.")] = ApprovalPurpose.JOIN,
    json: Json = False,
) -> None:
    """Approve another admin's invite, or the return of a suspended admin. Takes a one-time code like any command."""
    device = session_of(context).device()
    with waiting("Approving"):
        answer = device.approve(identifier(invite), identifier(user), purpose.value)
    if json:
        print_json(answer)
        return
    count, needed = answers.integer(answer, "approvals"), answers.integer(answer, "needed")
    print_facts([("invite", answer.get("invite")), ("approvals", f"{count} of {needed}")])


@app.command("list")
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List all admins (operator)."""
    session = session_of(context)
    with waiting("Reading the admins"):
        page = session.server().operator("GET", "/admins", session.operator_token())
    if json:
        print_json(page)
        return
    rows = ([admin.get("user"), admin.get("status"), _devices(admin)] for admin in answers.mappings(page, "admins"))
    print_table(("USER", "STATUS", "DEVICES"), rows, empty="There are no admins yet: `keyturn device invite`.")


@app.command()
def suspend(context: typer.Context, user: User, *, rotate: Rotate = False, json: Json = False) -> None:
    """Suspend an admin at once and remove their devices from all groups, until `admin resume` (operator)."""
    _stop(session_of(context), user, "suspend", rotate=rotate, as_json=json)


@app.command()
def remove(context: typer.Context, user: User, *, rotate: Rotate = False, json: Json = False) -> None:
    """Remove an admin for good, with all their devices (operator)."""
    _stop(session_of(context), user, "remove", rotate=rotate, as_json=json)


@app.command()
def resume(context: typer.Context, user: User, *, json: Json = False) -> None:
    """Resume a suspended admin, after another admin has approved it (operator)."""
    answer = _act(session_of(context), user, "resume")
    if json:
        print_json(answer)
        return
    print_facts([(name, answer.get(name)) for name in ("user", "status")])
    approval_id = answers.optional_text(answer, "awaits_approval")
    if approval_id is not None:
        command = f"keyturn admin approve {approval_id} --user {answer['user']} --purpose resume"
        print_note(f"Another admin has to approve it: `{command}`. Then run this command again.")


def _stop(session: Session, user: str, act: Literal["suspend", "remove"], *, rotate: bool, as_json: bool) -> None:
    device = session.device() if rotate else None  # a wrong passphrase fails before anything changes
    answer = _act(session, user, act)
    if not as_json:
        print_facts([(name, answer.get(name)) for name in ("user", "status")])
    finish(answer, device, f"a recipient was {answer['status']}", as_json=as_json)


def _act(session: Session, user: str, act: Literal["suspend", "resume", "remove"]) -> dict[str, object]:
    with waiting("Changing the admin"):
        return session.server().operator("POST", f"/admins/{identifier(user)}/{act}", session.operator_token(), {})


def _devices(admin: dict[str, object]) -> str:
    return ", ".join(str(key(device.get("npub"))) for device in answers.mappings(admin, "devices"))
