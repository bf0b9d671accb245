"""`keyturn check` and `sweep`: check a secret, and run the due work of the sweeper."""

import typer

from keyturn.cli import standard_input
from keyturn.cli.output import moment, print_error, print_facts, print_json, print_note, waiting
from keyturn.cli.session import ClientId, Json, Session, session_of
from keyturn.device.core.errors import DeviceError, UsageError
from keyturn.domain.encodings import identifier

REFUSED = 1
NO_VERDICT = 2


def check(context: typer.Context, client_id: ClientId, *, json: Json = False) -> None:
    """Check a client's secret on standard input. Exit code: 0 accepted, 1 refused, 2 no verdict."""
    session = session_of(context)
    identifier(client_id)  # an invalid id fails before the secret is asked for
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
    """Run the sweeper now: end grace periods and deadlines that are due (operator)."""
    session = session_of(context)
    with waiting("Sweeping"):
        counts = session.server().sweep(session.operator_token())
    if json:
        print_json(counts)
        return
    print_facts([(name, counts.get(name)) for name in ("settled", "republished")])


def presented_secret(session: Session) -> str:
    """Return the secret on standard input, or ask for it without echo at a terminal. Raises `UsageError`."""
    if session.ports.is_terminal():
        secret = session.ports.ask_secret("Secret: ")
    else:
        # Bytes that are not UTF-8 become U+FFFD, which the check below refuses.
        secret = standard_input.read_all().decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    # A value that no HTTP header can carry would fail in the HTTP library, with the secret in its error.
    if not secret.isascii() or not secret.isprintable() or not secret:
        raise UsageError("The input is not a secret.", "Pipe the secret in, and nothing else.")
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
