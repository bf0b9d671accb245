"""`keyturn admin`: who may act as an admin: approving, and, as operator, listing, suspending and removing people."""

from enum import StrEnum
from typing import Annotated, Literal

import typer

from keyturn.cli.commands.departures import Rotate, finish
from keyturn.cli.options import Json
from keyturn.cli.output import print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.format_keys import key
from keyturn.domain.encodings import identifier

app = typer.Typer(no_args_is_help=True, help="Admins: approve one, list, suspend and remove them.")


class Approved(StrEnum):
    """What another admin's approval may be for."""

    JOIN = "join"
    DEVICE = "device"
    TOTP = "totp"
    RESUME = "resume"


User = Annotated[str, typer.Argument(metavar="USER", help="The person.")]
Invite = Annotated[str, typer.Argument(metavar="INVITE", help="Its id, as `device invite` prints it; not the code.")]


@app.command()
def approve(
    context: typer.Context,
    invite: Invite,
    *,
    user: Annotated[str, typer.Option(help="Whom you mean to approve.")],
    purpose: Annotated[Approved, typer.Option(help="What you mean to approve.")] = Approved.JOIN,
    json: Json = False,
) -> None:
    """Approve an invite, or an admin's coming back: as another admin, with a proof like any command."""
    device = session_of(context).device()
    with waiting("Approving"):
        answer = device.approve(identifier(invite), identifier(user), purpose.value)
    if json:
        print_json(answer)
        return
    given, needed = answers.integer(answer, "approvals"), answers.integer(answer, "needed")
    print_facts([("invite", answer.get("invite")), ("approvals", f"{given} of {needed}")])


@app.command("list")
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List all admins (operator)."""
    session = session_of(context)
    with waiting("Reading the admins"):
        listed = session.server().operator("GET", "/admins", session.operator_token())
    if json:
        print_json(listed)
        return
    rows = ([admin.get("user"), admin.get("status"), _devices(admin)] for admin in answers.mappings(listed, "admins"))
    print_table(("USER", "STATUS", "DEVICES"), rows, empty="There are no admins yet: `keyturn device invite`.")


@app.command()
def suspend(context: typer.Context, user: User, *, rotate: Rotate = False, json: Json = False) -> None:
    """Stop a person's proofs at once, and take their devices out of all groups until they are resumed (operator)."""
    _stop(session_of(context), user, "suspend", rotate=rotate, as_json=json)


@app.command()
def remove(context: typer.Context, user: User, *, rotate: Rotate = False, json: Json = False) -> None:
    """Stop a person's proofs at once, and take their devices out of all groups for good (operator)."""
    _stop(session_of(context), user, "remove", rotate=rotate, as_json=json)


@app.command()
def resume(context: typer.Context, user: User, *, json: Json = False) -> None:
    """Let a suspended person act again, once another admin has approved it (operator)."""
    answer = _act(session_of(context), user, "resume")
    if json:
        print_json(answer)
        return
    print_facts([(name, answer.get(name)) for name in ("user", "status")])
    awaited = answers.optional_text(answer, "awaits_approval")
    if awaited is not None:
        command = f"keyturn admin approve {awaited} --user {answer['user']} --purpose resume"
        print_note(f"Another admin has to approve it: `{command}`. Then resume again.")


def _stop(session: Session, user: str, act: Literal["suspend", "remove"], *, rotate: bool, as_json: bool) -> None:
    device = session.device() if rotate else None  # a passphrase that does not open it is told before anything is done
    stopped = _act(session, user, act)
    if not as_json:
        print_facts([(name, stopped.get(name)) for name in ("user", "status")])
    finish(stopped, device, f"a recipient was {stopped['status']}", as_json=as_json)


def _act(session: Session, user: str, act: Literal["suspend", "resume", "remove"]) -> dict[str, object]:
    with waiting("Asking for it"):
        return session.server().operator("POST", f"/admins/{identifier(user)}/{act}", session.operator_token(), {})


def _devices(admin: dict[str, object]) -> str:
    return ", ".join(str(key(device.get("npub"))) for device in answers.mappings(admin, "devices"))
