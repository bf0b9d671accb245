"""`keyturn check` and `sweep`: is this secret good, and settle what is due."""

import sys

import typer

from keyturn.cli.options import ClientId, Json
from keyturn.cli.output import moment, print_error, print_facts, print_json, print_note, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.core.errors import DeviceError, UsageError
from keyturn.domain.encodings import identifier

REFUSED = 1
NO_VERDICT = 2


def check(context: typer.Context, client_id: ClientId, *, json: Json = False) -> None:
    """Check the secret on standard input: exit code 0 accepted, 1 refused, 2 no verdict."""
    session = session_of(context)
    identifier(client_id)
    try:
        secret = presented_secret(session)
        with waiting("Checking"):
            verdict = session.server().check(client_id, secret)
    except DeviceError as error:
        print_error(str(error), error.hint)
        raise typer.Exit(NO_VERDICT) from None
    _report(verdict, as_json=json)
    if verdict["accepted"] is not True:
        raise typer.Exit(REFUSED)


def sweep(context: typer.Context, *, json: Json = False) -> None:
    """Have everything settled that is due by now (operator)."""
    session = session_of(context)
    with waiting("Sweeping"):
        done = session.server().sweep(session.operator_token())
    if json:
        print_json(done)
        return
    print_facts([(name, done.get(name)) for name in ("settled", "republished")])


def presented_secret(session: Session) -> str:
    """Return the secret on standard input, asked for without an echo at a terminal; `UsageError` for what is none."""
    if session.ports.is_terminal():
        secret = session.ports.ask_secret("Secret: ")
    else:
        secret = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    # What a header can't carry would fail in the library, with the secret in its error.
    if not secret.isascii() or not secret.isprintable() or not secret:
        raise UsageError("What came on standard input is no secret.", "Pipe the secret in, and nothing else.")
    return secret


def _report(verdict: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(verdict)
    elif verdict["accepted"] is not True:
        print_note("refused")
    else:
        window = verdict.get("not_after")
        until = "no end set" if window is None else moment(window)
        facts = [("version", verdict.get("version_id")), ("state", verdict.get("state")), ("until", until)]
        print_facts([("accepted", True), ("client", verdict.get("client_id")), *facts])
