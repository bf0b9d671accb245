"""`keyturn deny`, `stop` and `start`: what an operator says that goes before everybody's rights."""

from typing import Annotated

import typer

from keyturn.cli.options import Json, Reason
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_table, print_warning, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.device.core.format_keys import key
from keyturn.domain.encodings import identifier
from keyturn.proofs.errors import Malformed
from keyturn.proofs.npub import decode_npub

app = typer.Typer(no_args_is_help=True, help="Denylists: who and what may do nothing, until allowed again.")

Users = Annotated[list[str] | None, typer.Option("--user", metavar="USER", help="A person; may be repeated.")]
Npubs = Annotated[list[str] | None, typer.Option("--npub", metavar="NPUB", help="A device's key; may be repeated.")]
Clients = Annotated[list[str] | None, typer.Option("--client", metavar="CLIENT_ID", help="A client; may be repeated.")]
_NOUNS = {"users": "user", "npubs": "npub", "clients": "client"}
_TAKEN = "Only cancel, revoke and suspend are taken, nothing is sent, nobody joins. Verifying goes on."


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
    """Deny people, devices and clients every act and every proof, at once (operator)."""
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
    """Allow them again (operator)."""
    _change(session_of(context), {"remove": _names(user, npub, client), "reason": reason}, as_json=json)


@app.command("list")
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List who and what is denied, and say whether everything is stopped (operator)."""
    session = session_of(context)
    server, token = session.server(), session.operator_token()
    with waiting("Reading the denylists"):
        denied, stop = server.operator("GET", "/denied", token), server.operator("GET", "/stop", token)
    if json:
        print_json({**denied, "stop": stop})
        return
    _report(denied)
    if stop.get("everywhere") is False:
        print_warning("A command was cut short and has reached one database of two: give it again.")
    if stop.get("stopped") is True:
        print_warning(f"Everything is stopped since {moment(stop.get('since'))}: {stop.get('reason')}")


def stop(context: typer.Context, *, reason: Reason, json: Json = False) -> None:
    """Stop everything but taking away, until `keyturn start` (operator). What verifies goes on verifying."""
    standing = _post(session_of(context), "/stop", {"reason": reason})
    if json:
        print_json(standing)
        return
    print_facts([("stopped since", moment(standing.get("since"))), ("reason", standing.get("reason"))])
    print_note(_TAKEN)


def start(context: typer.Context, *, reason: Reason, json: Json = False) -> None:
    """Let everything go on (operator)."""
    standing = _post(session_of(context), "/start", {"reason": reason})
    if json:
        print_json(standing)
        return
    print_note("Everything goes on.")


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
    with waiting("Asking for it"):
        return session.server().operator("POST", path, session.operator_token(), fields)


def _names(users: list[str] | None, npubs: list[str] | None, clients: list[str] | None) -> dict[str, list[str]]:
    if not (users or npubs or clients):
        raise UsageError("Nobody and nothing is named.", "Give --user, --npub or --client.")
    return {
        "users": [identifier(item) for item in users or ()],
        "npubs": [_npub(item) for item in npubs or ()],
        "clients": [identifier(item) for item in clients or ()],
    }


def _npub(text: str) -> str:
    if not text.lower().startswith("npub1"):
        return text  # 64 hex digits; the server says if they are not
    try:
        return decode_npub(text)
    except Malformed:
        raise UsageError("That is no npub.", "Copy it whole, as `keyturn group show` prints it.") from None


def _report(denied: dict[str, object]) -> None:
    rows = [(noun, key(item)) for name, noun in _NOUNS.items() for item in answers.texts(denied, name)]
    rows += [("by settings", item) for item in answers.texts(denied, "settings")]
    print_table(("WHAT", "DENIED"), rows, empty="Nobody and nothing is denied.")
