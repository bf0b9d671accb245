"""`keyturn rollback`, `restore`, `retire`, `suspend`, `resume` and `revoke`: what an admin does to a client."""

from typing import Annotated

import typer

from keyturn.cli.options import ClientId, Json, Reason
from keyturn.cli.output import ask, print_facts, print_json, print_note, waiting
from keyturn.cli.session import session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import DeviceError, UsageError
from keyturn.domain.encodings import identifier, version_identifier


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (rollback, restore, retire, suspend, resume, revoke):
        app.command()(command)


def rollback(
    context: typer.Context,
    client_id: ClientId,
    *,
    reason: Reason,
    compromised: Annotated[bool, typer.Option("--compromised", help="Kill the version that is left.")] = False,
    json: Json = False,
) -> None:
    """Go back to the version in grace."""
    _run(context, "rollback", client_id, {"compromised": True} if compromised else {}, reason, as_json=json)


def restore(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Undo a rollback."""
    _run(context, "restore", client_id, {}, reason, as_json=json)


def retire(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """End the grace of the version that is left, early."""
    device = session_of(context).device()
    with waiting("Reading the client"):
        version_id = answers.optional_text(device.client(client_id), "previous_version")
    if version_id is None:
        raise DeviceError("No version of this client is in grace.", "Look at `keyturn client show`.")
    with waiting("Retiring"):
        answer = device.command("retire", client_id, {"version_id": version_id}, reason)
    _report(answer, as_json=json)


def suspend(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Let nothing of a client verify until it is resumed."""
    _run(context, "suspend", client_id, {}, reason, as_json=json)


def resume(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Let a suspended client's live versions verify again."""
    _run(context, "resume", client_id, {}, reason, as_json=json)


def revoke(
    context: typer.Context,
    client_id: ClientId,
    *,
    reason: Reason,
    version: Annotated[str | None, typer.Option(metavar="V", help="Kill this version.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Kill the client, for good.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even the last version that verifies.")] = False,
    json: Json = False,
) -> None:
    """Kill a version at once, or the whole client for good."""
    if (version is None) is not everything:
        raise UsageError("It is not said what to revoke.", "Give one of --version V and --all.")
    params: dict[str, object] = {"version_id": "all" if version is None else version_identifier(version)}
    if everything:
        _ask_for_id(identifier(client_id))
    _run(context, "revoke", client_id, {**params, "force": True} if force else params, reason, as_json=json)


def _ask_for_id(client_id: str) -> None:
    if ask("This is final. Type the client's id to revoke it:") != client_id:
        raise UsageError("That is not the client's id: nothing was revoked.", "Type it exactly as in the command.")


def _run(
    context: typer.Context, action: str, client_id: str, params: dict[str, object], reason: str, *, as_json: bool
) -> None:
    device = session_of(context).device()
    with waiting(f"Sending {action}"):
        answer = device.command(action, client_id, params, reason)
    _report(answer, as_json=as_json)


def _report(answer: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    names = ("client_id", "action", "status", "current_version", "previous_version")
    print_facts([(name.replace("_", " "), answer.get(name)) for name in names])
    if answer.get("awaits_second_person") is True:
        print_note("Recorded, not done: another admin has to send the same within an hour.")
    elif isinstance(answer.get("effective_within_seconds"), int):
        print_note(f"Every verifier follows within {answer['effective_within_seconds']} s.")
