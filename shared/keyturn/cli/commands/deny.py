"""`keyturn deny`, `stop` and `start`: the operator's denylists and emergency stop."""

from typing import Annotated

import typer

from keyturn.cli.output import moment, print_facts, print_json, print_note, print_table, print_warning, waiting
from keyturn.cli.session import Json, Reason, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.device.core.format_keys import key
from keyturn.domain.encodings import identifier
from keyturn.proofs.errors import Malformed
from keyturn.proofs.npub import decode_npub

app = typer.Typer(no_args_is_help=True, help="Block users, devices and clients until they are allowed again.")

Users = Annotated[list[str] | None, typer.Option("--user", metavar="USER", help="Id of a user. May be repeated.")]
Npubs = Annotated[list[str] | None, typer.Option("--npub", metavar="NPUB", help="Key of a device. May be repeated.")]
Clients = Annotated[
    list[str] | None, typer.Option("--client", metavar="CLIENT_ID", help="Id of a client. May be repeated.")
]
_NOUNS = {"users": "user", "npubs": "npub", "clients": "client"}
_STOPPED = (
    "Only cancel, revoke and suspend are accepted. No secret is sent and no device joins. Existing credentials keep"
    " working."
)


@app.command()
def add(
    context: typer.Context,
    *,
    reason: Reason,
    user: Users = None,
    npub: Npubs = None,
    client: Clients = None,
    json: Json = False,
) -> None:
    """Block users, devices and clients from all commands and proofs, at once (operator)."""
    _change(session_of(context), {"add": _names(user, npub, client), "reason": reason}, as_json=json)


@app.command()
def remove(
    context: typer.Context,
    *,
    reason: Reason,
    user: Users = None,
    npub: Npubs = None,
    client: Clients = None,
    json: Json = False,
) -> None:
    """Remove entries from the denylists (operator)."""
    _change(session_of(context), {"remove": _names(user, npub, client), "reason": reason}, as_json=json)


@app.command("list")
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List the denylists, and show whether the service is stopped (operator)."""
    session = session_of(context)
    server, token = session.server(), session.operator_token()
    with waiting("Reading the denylists"):
        denied, stop = server.operator("GET", "/denied", token), server.operator("GET", "/stop", token)
    if json:
        print_json({**denied, "stop": stop})
        return
    _report(denied)
    # The denylists are written to two databases, one after the other.
    if stop.get("everywhere") is False:
        print_warning("A change was interrupted and reached only one of two databases: run it again.")
    if stop.get("stopped") is True:
        print_warning(f"The service is stopped since {moment(stop.get('since'))}: {stop.get('reason')}")


def stop(context: typer.Context, *, reason: Reason, json: Json = False) -> None:
    """Block all commands except cancel, revoke and suspend, until `keyturn start` (operator).

    Existing credentials keep working.
    """
    status = _post(session_of(context), "/stop", {"reason": reason})
    if json:
        print_json(status)
        return
    print_facts([("stopped since", moment(status.get("since"))), ("reason", status.get("reason"))])
    print_note(_STOPPED)


def start(context: typer.Context, *, reason: Reason, json: Json = False) -> None:
    """End the stop: accept all commands again (operator)."""
    status = _post(session_of(context), "/start", {"reason": reason})
    if json:
        print_json(status)
        return
    print_note("All commands are accepted again.")


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="deny")
    root.command("stop")(stop)
    root.command("start")(start)


def _change(session: Session, fields: dict[str, object], *, as_json: bool) -> None:
    denied = _post(session, "/denied", fields)
    if as_json:
        print_json(denied)
        return
    _report(denied)


def _post(session: Session, path: str, fields: dict[str, object]) -> dict[str, object]:
    with waiting("Changing it"):
        return session.server().operator("POST", path, session.operator_token(), fields)


def _names(users: list[str] | None, npubs: list[str] | None, clients: list[str] | None) -> dict[str, list[str]]:
    if not (users or npubs or clients):
        raise UsageError("There is nothing to change.", "Give --user, --npub or --client.")
    return {
        "users": [identifier(item) for item in users or ()],
        "npubs": [_npub(item) for item in npubs or ()],
        "clients": [identifier(item) for item in clients or ()],
    }


def _npub(text: str) -> str:
    if not text.lower().startswith("npub1"):
        return text  # 64 hex digits, which the server checks
    try:
        return decode_npub(text)
    except Malformed:
        raise UsageError("The npub is not valid.", "Copy it whole, as `keyturn group show` prints it.") from None


def _report(denied: dict[str, object]) -> None:
    rows = [(noun, key(item)) for name, noun in _NOUNS.items() for item in answers.texts(denied, name)]
    rows += [("by settings", item) for item in answers.texts(denied, "settings")]
    print_table(("WHAT", "DENIED"), rows, empty="The denylists are empty.")
