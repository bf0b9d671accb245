"""`keyturn rotate`, `rotation` and `ack`: asking for a new version, and what becomes of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.commands.preflight import confirm, show_plan
from keyturn.cli.durations import parse_duration
from keyturn.cli.options import ClientId, Grace, Json, Reason, RotationId
from keyturn.cli.output import (
    fetching,
    moment,
    print_facts,
    print_json,
    print_note,
    print_table,
    print_warning,
    waiting,
)
from keyturn.cli.session import session_of
from keyturn.cli.wait_for_rotation import watch_rotation
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, MembershipError, NotPromotedError, UnreachableError
from keyturn.device.core.format_keys import key, person
from keyturn.device.rotation_preview import RotationOptions, RotationPreview
from keyturn.domain.encodings import rotation_identifier

if TYPE_CHECKING:
    from keyturn.device.device import Device

app = typer.Typer(no_args_is_help=True, help="Rotations: one run from request to promotion each.")


def rotate(
    context: typer.Context,
    client_id: ClientId,
    *,
    reason: Reason,
    grace: Grace = None,
    not_before: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="10m", help="How long from now the new version begins, at least."),
    ] = None,
    rotation_id: Annotated[
        str | None,
        typer.Option("--rotation-id", metavar="ID", help="A ULID or UUID of your own; the same is one rotation."),
    ] = None,
    supersede: Annotated[bool, typer.Option("--supersede", help="End a grace window that is still running.")] = False,
    emergency: Annotated[bool, typer.Option("--emergency", help="Now, whatever else is going on.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Ask for a new version of a client's credential, after showing what will happen."""
    session = session_of(context)
    device = session.device()
    wish = RotationOptions(
        client_id=client_id,
        rotation_id=rotation_identifier(rotation_id or device.new_id()),
        reason=reason,
        grace=grace,
        not_before=not_before,
        supersede=supersede,
        emergency=emergency,
    )
    _catch_up(device)
    with waiting("Reading the client"):
        plan = device.preview(wish)
    show_plan(plan, err=json)
    confirm(session, "Rotate?", yes=yes)
    answer = _asked(lambda: device.send(plan), plan)
    if wait:
        answer = watch_rotation(device.rotation, wish.rotation_id, session.ports.sleep)
    _report_rotate(answer, waited=wait, as_json=json)


def ack(context: typer.Context, rotation_id: RotationId, *, json: Json = False) -> None:
    """Acknowledge a rotation: prove that this device holds its secret."""
    device = session_of(context).device()
    is_second = any(notice.acked_at for notice in device.inbox() if notice.rotation_id == rotation_id)
    with fetching() as progress:
        answer = device.ack(rotation_identifier(rotation_id), progress)
    if is_second:
        print_note("This device has acknowledged it already.", err=True)
    if json:
        print_json(answer)
        return
    count = f"{answers.integer(answer, 'acks')} of {answers.integer(answer, 'quorum')}"
    names = ("rotation_id", "client_id", "version_id", "phase", "outcome")
    print_facts([*((name.replace("_", " "), answer.get(name)) for name in names), ("acknowledged by", count)])


@app.command()
def show(context: typer.Context, rotation_id: RotationId, *, json: Json = False) -> None:
    """Show how far a rotation is, and who has acknowledged."""
    device = session_of(context).device()
    with waiting("Reading the rotation"):
        rotation = device.rotation(rotation_id)
    if json:
        print_json(rotation)
    else:
        _show(rotation)


@app.command()
def cancel(
    context: typer.Context, rotation_id: RotationId, *, reason: Reason = "canceled by an admin", json: Json = False
) -> None:
    """Cancel a rotation that is not promoted yet."""
    device = session_of(context).device()
    with waiting("Canceling"):
        client_id = answers.text(device.rotation(rotation_id), "client_id")
        answer = device.command("cancel", client_id, {"rotation_id": rotation_id}, reason)
    if json:
        print_json(answer)
        return
    print_facts([("client", client_id), ("status", answer.get("status")), ("current", answer.get("current_version"))])


def _catch_up(device: "Device") -> None:
    # So that the plan names those who are in the group now. Reading may fail where rotating still has to work, in an
    # emergency most of all; but nothing goes through a group that somebody tampers with.
    try:
        with fetching() as progress:
            device.catch_up(progress)
    except MembershipError:
        raise
    except DeviceError as stopped:
        print_warning(f"{stopped} {stopped.hint}")


def _asked(send: Callable[[], dict[str, object]], plan: RotationPreview) -> dict[str, object]:
    try:
        with waiting("Asking for the rotation"):
            return send()
    except UnreachableError as lost:
        # It may have arrived: the same rotation id makes at most one version (docs/protocol.md §4, invariant 5).
        hint = f"{lost.hint} It may have arrived: look with `keyturn rotation show {plan.request.rotation_id}`."
        raise UnreachableError(str(lost), hint) from None


def _report_rotate(answer: dict[str, object], *, waited: bool, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif waited:
        _show(answer)
    else:
        print_facts([("rotation", answer.get("rotation_id")), ("version", answer.get("version_id"))])
        print_note(
            f"Its secret is on its way: `keyturn inbox`, then `keyturn ack {answers.text(answer, 'rotation_id')}`."
        )
    if waited and answer.get("outcome") != "promoted":
        raise NotPromotedError(
            "The rotation was not promoted.", "`keyturn rotation show` says how it ended; rotate again."
        )


def _show(rotation: dict[str, object]) -> None:
    names = (
        "rotation_id",
        "client_id",
        "phase",
        "outcome",
        "reason",
        "requested_by",
        "group",
        "new_version",
        "old_version",
    )
    times = (
        "not_before",
        "grace_until",
        "created_at",
        "distributed_at",
        "ack_deadline",
        "acknowledged_at",
        "completed_at",
    )
    facts = [(name.replace("_", " "), person(rotation.get(name))) for name in names]
    canaries = (
        [("canaries", f"{rotation.get('canaries')} of {needed}")]
        if (needed := rotation.get("canaries_required"))
        else []
    )
    print_facts([*facts, *((name.replace("_", " "), moment(rotation.get(name))) for name in times), *canaries])
    acks = answers.mappings(rotation, "acks")
    rows = ([item.get("user"), key(item.get("npub")), moment(item.get("ack_at"))] for item in acks)
    print_table(("ACKNOWLEDGED BY", "NPUB", "AT"), rows, empty="Nobody has acknowledged yet.")
