"""`keyturn client policy`: what a client's rotations have to keep to, where it is not as the deployment says."""

from typing import Annotated

import typer

from keyturn.cli.options import ClientId, Json
from keyturn.cli.output import print_facts, print_json, print_note, waiting
from keyturn.cli.session import session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier
from keyturn.domain.policy import BOUNDS, SWITCHES

_WORDS = {"true": True, "on": True, "false": False, "off": False, "default": None}


def policy(
    context: typer.Context,
    client_id: ClientId,
    *,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting: whole number (durations in seconds), on, off, or default; may be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show a client's own policy, or change it (operator), such as --set scannable_secrets=on.

    What is not named stays.
    """
    session = session_of(context)
    changes = dict(_change(item) for item in setting or ())
    path = f"/clients/{identifier(client_id)}"
    with waiting("Changing the policy" if changes else "Reading the client"):
        server, token = session.server(), session.operator_token()
        changed = server.operator("POST", f"{path}/policy", token, {"policy": changes}) if changes else None
        client = changed or server.operator("GET", path, token)
    own = answers.mapping(answers.mapping(client, "policy"), "own")
    if json:
        print_json({"client_id": answers.text(client, "client_id"), "policy": own})
        return
    print_facts([("client", answers.text(client, "client_id")), *sorted(own.items())])
    if not own:
        print_note("It has no policy of its own: all is as the deployment says.")


def _change(item: str) -> tuple[str, int | bool | None]:
    name, _, value = item.partition("=")
    if name not in {*BOUNDS, *SWITCHES}:
        raise UsageError("There is no such policy setting.", f"One of: {', '.join(sorted({*BOUNDS, *SWITCHES}))}.")
    if value in _WORDS:
        return name, _WORDS[value]
    if not (value.isascii() and value.isdecimal()):
        raise UsageError(
            "A policy value is of the wrong type.", "Write NAME=VALUE: a whole number, on, off or default."
        )
    return name, int(value)
