"""`keyturn login`: sign in once. Commands then ask for a one-time code only."""

from typing import Annotated

import typer

from keyturn.cli import standard_input
from keyturn.cli.output import moment, print_facts, print_json, print_note, waiting
from keyturn.cli.session import Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.domain.encodings import identifier


def login(
    context: typer.Context,
    *,
    user: Annotated[
        str | None,
        typer.Option(help="Only with `keyturn up`: sign in as this user with the local test authority (operator)."),
    ] = None,
    json: Json = False,
) -> None:
    """Sign in with an ID token on standard input. It is kept encrypted in the device's home until it expires."""
    from keyturn.device.attestation.id_token import read_id_token  # noqa: PLC0415 - not needed for `--help`

    session = session_of(context)
    home = session.open_home()
    sign_in = read_id_token(_read_token(session) if user is None else _request_token(session, user))
    sign_in.save(home)
    if json:
        print_json({"ends_at": sign_in.ends_at})
        return
    print_facts([("signed in until", moment(sign_in.ends_at))])
    print_note("If this device is in no group yet, run `keyturn device join CODE`.")


def _request_token(session: Session, user: str) -> str:
    with waiting("Asking the local test authority"):
        answer = session.server().operator("POST", "/id_tokens", session.operator_token(), {"user": identifier(user)})
    return answers.text(answer, "id_token")


def _read_token(session: Session) -> str:
    # Never an argument: other users of the machine can read the arguments of a process.
    if session.ports.is_terminal():
        return session.ports.ask_secret("ID token: ").strip()
    return standard_input.read_all().decode("utf-8", "replace").strip()
