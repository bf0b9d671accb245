"""`keyturn client policy`: the policy values of one client that differ from the deployment's."""

from typing import Annotated

import typer

from keyturn.cli.output import print_facts, print_json, print_note, print_warning, waiting
from keyturn.cli.session import ClientId, Json, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier
from keyturn.domain.model import ClientKind
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
            help="Set a value: a whole number (durations in seconds), on, off or default. May be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show or change a client's own policy, for example --set scannable_secrets=on (operator).

    Values that are not named do not change.
    """
    session = session_of(context)
    changes = dict(_change(item) for item in setting or ())
    path = f"/clients/{identifier(client_id)}"
    with waiting("Changing the policy" if changes else "Reading the client"):
        server, token = session.server(), session.operator_token()
        new_client = server.operator("POST", f"{path}/policy", token, {"policy": changes}) if changes else None
        client = new_client or server.operator("GET", path, token)
    own = answers.mapping(answers.mapping(client, "policy"), "own")
    if changes:
        warn_of_short_grace(client)
    if json:
        print_json({"client_id": answers.text(client, "client_id"), "policy": own})
        return
    print_facts([("client", answers.text(client, "client_id")), *sorted(own.items())])
    if not own:
        print_note("The client has no policy of its own. The deployment's policy applies.")


def warn_of_short_grace(client: dict[str, object]) -> None:
    """Warn if a client's access tokens live longer than its grace: checkers without keyturn accept them beyond it."""
    policy = answers.mapping(client, "policy")
    if client.get("kind") != ClientKind.OAUTH2_CLIENT_SECRET or "access_token_seconds" not in policy:
        return
    grace, lifetime = (answers.integer(policy, name) for name in ("grace_seconds", "access_token_seconds"))
    if grace < lifetime:
        print_warning(
            f"The grace ({grace} s) is shorter than the lifetime of access tokens ({lifetime} s). After a rotation,"
            f" services that check tokens without keyturn accept old ones for up to {lifetime - grace} s too long."
        )


def _change(item: str) -> tuple[str, int | bool | None]:
    name, _, value = item.partition("=")
    # A newer release may have set a value that this one does not know. It can be removed, and the server knows it.
    if name not in {*BOUNDS, *SWITCHES} and value != "default":
        raise UsageError("Unknown policy setting.", f"Choose one of: {', '.join(sorted({*BOUNDS, *SWITCHES}))}.")
    if value in _WORDS:
        return name, _WORDS[value]
    # isdecimal alone accepts digits of other scripts.
    if not (value.isascii() and value.isdecimal()):
        raise UsageError(
            "The policy value has the wrong type.", "Write NAME=VALUE: a whole number, on, off or default."
        )
    return name, int(value)
