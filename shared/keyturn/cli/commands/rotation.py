"""`keyturn rotate`, `rotation` and `ack`: request a new version, follow it and acknowledge it."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from keyturn.cli.commands.preview import confirm, show_preview
from keyturn.cli.durations import parse_duration
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
from keyturn.cli.session import ClientId, Grace, Json, Reason, RotationId, session_of
from keyturn.cli.wait_for_rotation import watch_rotation
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, MembershipError, NotPromotedError, UnreachableError
from keyturn.device.core.format_keys import key, person
from keyturn.device.rotation_preview import RotationOptions, RotationPreview
from keyturn.domain.encodings import rotation_identifier

if TYPE_CHECKING:
    from keyturn.device.device import Device

app = typer.Typer(no_args_is_help=True, help="Show and cancel rotations.")


def rotate(
    context: typer.Context,
    client_id: ClientId,
    *,
    reason: Reason,
    grace: Grace = None,
    not_before: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="10m", help="Do not promote the new version before this time from now."
        ),
    ] = None,
    rotation_id: Annotated[
        str | None,
        typer.Option(
            "--rotation-id",
            metavar="ID",
            help="A ULID or UUID. A repeated request with the same id makes one rotation.",
        ),
    ] = None,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="End a running grace period when the new version is promoted.")
    ] = False,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Rotate now: cancel another rotation and end a grace period.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the rotation is completed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Rotate a client's credential. A preview is shown before the request is sent."""
    session = session_of(context)
    device = session.device()
    options = RotationOptions(
        client_id=client_id,
        # Chosen before the request, so that a repeated request is the same rotation.
        rotation_id=rotation_identifier(device.new_id() if rotation_id is None else rotation_id),
        reason=reason,
        grace=grace,
        not_before=not_before,
        supersede=supersede,
        emergency=emergency,
    )
    _catch_up(device)
    with waiting("Reading the client"):
        preview = device.preview(options)
    # With --json, stdout carries the answer only.
    show_preview(preview, err=json)
    confirm(session, "Rotate?", yes=yes)
    answer = _send(lambda: device.send(preview), preview)
    if wait:
        answer = watch_rotation(device.rotation, options.rotation_id, session.ports.sleep)
    _report_rotate(answer, has_waited=wait, as_json=json)


def ack(context: typer.Context, rotation_id: RotationId, *, json: Json = False) -> None:
    """Acknowledge a rotation: prove that this device received the secret."""
    device = session_of(context).device()
    is_second = any(notice.acked_at for notice in device.inbox() if notice.rotation_id == rotation_id)
    with fetching() as progress:
        answer = device.ack(rotation_identifier(rotation_id), progress)
    if is_second:
        print_note("This device has already acknowledged it.", err=True)
    if json:
        print_json(answer)
        return
    count = f"{answers.integer(answer, 'acks')} of {answers.integer(answer, 'quorum')}"
    names = ("rotation_id", "client_id", "version_id", "phase", "outcome")
    print_facts([*((name.replace("_", " "), answer.get(name)) for name in names), ("acknowledged by", count)])
    if answer.get("outcome") is None:
        # A secret that is handed over too early would be refused, and the integrator locked out.
        command = f"keyturn rotation show {rotation_id}"
        print_note(f"The new secret is not current yet. `{command}` prints its progress and its earliest time.")


@app.command()
def show(context: typer.Context, rotation_id: RotationId, *, json: Json = False) -> None:
    """Show the progress of a rotation and its acknowledgements."""
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
    """Cancel a rotation before it is promoted."""
    device = session_of(context).device()
    with waiting("Canceling"):
        client_id = answers.text(device.rotation(rotation_id), "client_id")
        answer = device.command("cancel", client_id, {"rotation_id": rotation_id}, reason)
    if json:
        print_json(answer)
        return
    print_facts([("client", client_id), ("status", answer.get("status")), ("current", answer.get("current_version"))])


def _catch_up(device: "Device") -> None:
    # Catching up makes the preview name the current members. If it fails, rotating must still work, above all in an
    # emergency. Only a group with a forbidden change of members is never used (docs/protocol.md §12).
    try:
        with fetching() as progress:
            device.catch_up(progress)
    except MembershipError:
        raise
    except DeviceError as error:
        print_warning(f"{error} {error.hint}")


def _send(send: Callable[[], dict[str, object]], preview: RotationPreview) -> dict[str, object]:
    try:
        with waiting("Requesting the rotation"):
            return send()
    except UnreachableError as lost:
        # The request may have arrived. One rotation id makes at most one version (docs/protocol.md §4).
        check = f"keyturn rotation show {preview.request.rotation_id}"
        hint = f"{lost.hint} The request may have arrived: check it with `{check}`."
        raise UnreachableError(str(lost), hint) from None


def _report_rotate(answer: dict[str, object], *, has_waited: bool, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif has_waited:
        _show(answer)
    else:
        print_facts([("rotation", answer.get("rotation_id")), ("version", answer.get("version_id"))])
        command = f"keyturn ack {answers.text(answer, 'rotation_id')}"
        print_note(f"The secret is being sent. Next: `keyturn inbox`, then `{command}`.")
    if has_waited and answer.get("outcome") != "promoted":
        raise NotPromotedError(
            "The rotation was not promoted.", "`keyturn rotation show` prints its outcome. Then rotate again."
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
    print_table(("ACKNOWLEDGED BY", "NPUB", "AT"), rows, empty="There are no acknowledgements yet.")
