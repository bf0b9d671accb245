"""What is shown before something is asked for, and the question itself."""

from datetime import timedelta

import typer

from keyturn.cli.durations import format_duration
from keyturn.cli.output import ask, moment, print_facts, print_note
from keyturn.cli.session import Session
from keyturn.device.core.errors import UsageError
from keyturn.device.rotation_preview import RotationPreview


def show_plan(plan: RotationPreview, *, err: bool) -> None:
    """Print who will get the notice, when the versions change over, and what becomes of the one in grace."""
    request = plan.request
    people = f"{len(plan.npubs)} known here: {', '.join(plan.npubs)}" if plan.npubs else "none known here"
    quorum = "the client's emergency quorum" if request.emergency else plan.quorum
    canaries = f" and {plan.canaries} canaries" if plan.canaries else ""
    grace = format_duration(timedelta(milliseconds=request.grace_milliseconds))
    facts = [
        ("client", request.client_id),
        ("rotation", request.rotation_id + (" (emergency)" if request.emergency else "")),
        ("notice goes to", ", ".join(plan.groups)),
        ("devices", people),
        ("quorum", quorum),
        ("takes over", f"at the quorum{canaries}, not before {moment(plan.promoted_from)}"),
        (
            "current version",
            f"{plan.current_version}, then in grace until {moment(plan.grace_until)} or later ({grace})",
        ),
        ("version in grace", plan.effect_on_grace),
        ("other rotation", plan.effect_on_active),
    ]
    if plan.current_version is None:
        facts[6] = ("current version", "none: this is the first")
    print_facts(facts, err=err)


def confirm(session: Session, question: str, *, yes: bool) -> None:
    """Ask unless `yes`; a no ends the command, and without a terminal `yes` is asked for: `UsageError`."""
    if yes:
        return
    if not session.ports.is_terminal():
        raise UsageError("There is no terminal to ask at.", "Add --yes if that is what you want.")
    if ask(f"{question} [y/N]").lower() not in {"y", "yes"}:
        print_note("Nothing was asked for.", err=True)
        raise typer.Exit(1)
