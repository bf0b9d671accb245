"""The preview of a rotation, and the question before it is requested."""

from datetime import timedelta

import typer

from keyturn.cli.durations import format_duration
from keyturn.cli.output import ask, moment, print_facts, print_note, print_warning
from keyturn.cli.session import Session
from keyturn.device.core.errors import UsageError
from keyturn.device.rotation_preview import RotationPreview


def show_preview(preview: RotationPreview, *, err: bool) -> None:
    """Print the recipients, the time of the promotion, and the effects on the current and previous version."""
    request = preview.request
    people = (
        f"{len(preview.npubs)} known to this device: {', '.join(preview.npubs)}"
        if preview.npubs
        else "none known to this device"
    )
    quorum = "the client's emergency quorum" if request.emergency else preview.quorum
    canaries = f" and {preview.canaries} canaries" if preview.canaries else ""
    grace = format_duration(timedelta(milliseconds=request.grace_milliseconds))
    facts = [
        ("client", request.client_id),
        ("rotation", request.rotation_id + (" (emergency)" if request.emergency else "")),
        ("secret goes to", ", ".join(preview.groups)),
        ("devices", people),
        ("quorum", quorum),
        ("promotion", f"at the quorum{canaries}, not before {moment(preview.promoted_from)}"),
        (
            "current version",
            f"{preview.current_version}, then in grace until {moment(preview.grace_until)} or later ({grace})",
        ),
        ("version in grace", preview.effect_on_grace),
        ("other rotation", preview.effect_on_active),
    ]
    if preview.current_version is None:
        facts[6] = ("current version", "none: this is the first")
    print_facts(facts, err=err)
    if preview.tokens_until is not None:
        print_warning(
            f"The grace ({grace}) is shorter than the lifetime of access tokens. Services that check tokens without"
            f" keyturn accept tokens of the current version until {moment(preview.tokens_until)}, after its grace."
        )


def confirm(session: Session, question: str, *, yes: bool) -> None:
    """Ask the question unless `yes`. A no ends the command. Raises `UsageError` if a pipe holds no answer."""
    if yes:
        return
    answer = ask(f"{question} [y/N]").lower()
    if not answer and not session.ports.is_terminal():
        raise UsageError("The question needs an answer.", "Add --yes to confirm without a question.")
    if answer not in {"y", "yes"}:
        print_note("Nothing was requested.", err=True)
        raise typer.Exit(1)
