"""`keyturn rollback`, `restore`, `retire`, `suspend`, `resume` and `revoke`: commands on one client."""

from typing import Annotated

import typer

from keyturn.cli.output import ask, print_facts, print_json, print_note, waiting
from keyturn.cli.session import ClientId, Json, Reason, session_of
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
    compromised: Annotated[bool, typer.Option("--compromised", help="Revoke the version that is rolled back.")] = False,
    json: Json = False,
) -> None:
    """Make the previous version current again, during its grace period."""
    _run(context, "rollback", client_id, {"compromised": True} if compromised else {}, reason, as_json=json)


def restore(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Undo a rollback: make the rolled-back version current again."""
    _run(context, "restore", client_id, {}, reason, as_json=json)


def retire(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Retire the previous version before its grace period ends."""
    device = session_of(context).device()
    # The command names the version, so that it never retires another one after a concurrent rotation.
    with waiting("Reading the client"):
        version_id = answers.optional_text(device.client(client_id), "previous_version")
    if version_id is None:
        raise DeviceError("No version of this client is in grace.", "`keyturn client show` lists its versions.")
    with waiting("Retiring"):
        answer = device.command("retire", client_id, {"version_id": version_id}, reason)
    _report(answer, as_json=json)


def suspend(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Refuse all credentials of a client until `keyturn resume`."""
    _run(context, "suspend", client_id, {}, reason, as_json=json)


def resume(context: typer.Context, client_id: ClientId, *, reason: Reason, json: Json = False) -> None:
    """Accept the live versions of a suspended client again."""
    _run(context, "resume", client_id, {}, reason, as_json=json)


def revoke(
    context: typer.Context,
    client_id: ClientId,
    *,
    reason: Reason,
    version: Annotated[str | None, typer.Option(metavar="V", help="Id of the version to revoke.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Revoke the client with all its versions, for good.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Revoke even the last live version.")] = False,
    json: Json = False,
) -> None:
    """Revoke one version at once, or the whole client for good."""
    if (version is None) is not everything:
        raise UsageError("The version to revoke is missing.", "Give one of --version V and --all.")
    params: dict[str, object] = {"version_id": "all" if version is None else version_identifier(version)}
    if everything:
        # It can't be undone and takes effect within seconds, so a yes is not enough.
        _ask_for_id(identifier(client_id))
    _run(context, "revoke", client_id, {**params, "force": True} if force else params, reason, as_json=json)


def _ask_for_id(client_id: str) -> None:
    if ask("This can't be undone. Type the client's id to revoke it:") != client_id:
        raise UsageError("The id differs: nothing was revoked.", "Type the client's id exactly as in the command.")


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
        print_note("Recorded, but not executed yet: another admin has to send the same command within an hour.")
    elif isinstance(answer.get("effective_within_seconds"), int):
        print_note(f"Every verifier applies this within {answer['effective_within_seconds']} s.")
