"""`keyturn client policy`: what a client's rotations have to keep to, where it is not as the deployment says."""

from typing import Annotated

import typer

from admin.errors import UsageError
from admin.options import ClientId, Json
from admin.output import print_facts, print_json, waiting
from admin.session import session_of
from shared.domain.encodings import identifier
from shared.domain.policy import BOUNDS, SWITCHES

_WORDS = {"true": True, "on": True, "false": False, "off": False, "default": None}


def policy(
    context: typer.Context,
    client_id: ClientId,
    *,
    setting: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting: whole number (durations in seconds), on, off, or default; may be repeated.",
        ),
    ],
    json: Json = False,
) -> None:
    """Change a client's policy (operator), such as --set scannable_secrets=on; what is not named stays."""
    session = session_of(context)
    changes = dict(_change(item) for item in setting)
    path = f"/clients/{identifier(client_id)}/policy"
    with waiting("Changing the policy"):
        client = session.server().operator("POST", path, session.operator_token(), {"policy": changes})
    if json:
        print_json(client)
        return
    print_facts([("client", client.get("client_id")), *((name, _shown(value)) for name, value in changes.items())])


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


def _shown(value: bool | int | None) -> object:  # noqa: FBT001 - a policy value is one or the other
    return "as the deployment says" if value is None else value
