"""`keyturn login`: who is at this device, once; commands then ask for a one-time code only."""

import sys
from typing import Annotated

import typer

from keyturn.cli.options import Json
from keyturn.cli.output import moment, print_facts, print_json, print_note, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.domain.encodings import identifier


def login(
    context: typer.Context,
    *,
    user: Annotated[
        str | None,
        typer.Option(help="On one machine (operator): have its test authority say that this device is this person's."),
    ] = None,
    json: Json = False,
) -> None:
    """Sign in with the ID token on standard input; it is kept sealed in the device's home until it ends."""
    from keyturn.device.attestation.id_token import read_id_token  # noqa: PLC0415 - `--help` need not load what reads tokens

    session = session_of(context)
    home = session.opened_home()
    sign_in = read_id_token(_presented(session) if user is None else _issued(session, user))
    sign_in.save(home)
    if json:
        print_json({"ends_at": sign_in.ends_at})
        return
    print_facts([("signed in until", moment(sign_in.ends_at))])
    print_note("Next: `keyturn device join CODE`, if this device is in no group yet.")


def _issued(session: Session, user: str) -> str:
    with waiting("Asking the machine's test authority"):
        made = session.server().operator("POST", "/id_tokens", session.operator_token(), {"user": identifier(user)})
    return answers.text(made, "id_token")


def _presented(session: Session) -> str:
    if session.ports.is_terminal():
        return session.ports.ask_secret("ID token: ").strip()
    return sys.stdin.buffer.read().decode("utf-8", "replace").strip()
