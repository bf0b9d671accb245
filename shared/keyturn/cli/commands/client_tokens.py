"""`keyturn client tokens`: what a client's access tokens say, and whose it may ask about."""

from typing import Annotated

import typer

from keyturn.cli.options import ClientId, Json
from keyturn.cli.output import print_facts, print_json, waiting
from keyturn.cli.session import session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier

Audience = Annotated[
    str | None, typer.Option(metavar="URI", help="Whom its tokens are for, in place of the deployment's audience.")
]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", metavar="SCOPE", help="What its tokens may be for; may be repeated.")
]
Introspects = Annotated[
    list[str] | None,
    typer.Option(metavar="URI", help="An audience that it is a resource server for: it may ask about its tokens."),
]


def tokens(
    context: typer.Context,
    client_id: ClientId,
    *,
    audience: Audience = None,
    scope: Scopes = None,
    no_scopes: Annotated[bool, typer.Option("--no-scopes", help="It may have no scope any more.")] = False,
    introspects: Introspects = None,
    no_introspects: Annotated[bool, typer.Option("--no-introspects", help="It may ask about none any more.")] = False,
    json: Json = False,
) -> None:
    """Show or change what a client's access tokens say (operator); what is not named stays, a list is given whole.

    It takes effect at once, also on tokens that are out: those that say more are dead.
    """
    lists = (_given("--scope", scope, gone=no_scopes), _given("--introspects", introspects, gone=no_introspects))
    changes = terms(audience, *lists)
    session = session_of(context)
    path = f"/clients/{identifier(client_id)}"
    with waiting("Changing the tokens" if changes else "Reading the client"):
        server, token = session.server(), session.operator_token()
        changed = server.operator("POST", f"{path}/tokens", token, changes) if changes else None
        client = changed or server.operator("GET", path, token)
    shown = answers.mapping(client, "tokens")
    if json:
        print_json({"client_id": answers.text(client, "client_id"), "tokens": shown})
        return
    print_facts([("client", answers.text(client, "client_id")), *token_facts(shown, whole=True)])


def terms(audience: str | None, scopes: list[str] | None, introspects: list[str] | None) -> dict[str, object]:
    """Return the fields of a request that changes a client's terms; what is None stays."""
    named = {"audience": audience, "scopes": scopes, "introspects": introspects}
    return {name: value for name, value in named.items() if value is not None}


def token_facts(shown: dict[str, object], *, whole: bool = False) -> list[tuple[str, object]]:
    """Return what a client's terms say, for people; only what is not as by default, unless `whole`."""
    facts = [
        ("audience", answers.optional_text(shown, "audience") or ("the deployment's" if whole else "")),
        ("scopes", " ".join(answers.texts(shown, "scopes"))),
        ("introspects", " ".join(answers.texts(shown, "introspects"))),
    ]
    return [(name, value) for name, value in facts if whole or value]


def _given(option: str, values: list[str] | None, *, gone: bool) -> list[str] | None:
    if gone and values:
        raise UsageError(f"{option} and its opposite can't both stand.", "Give the whole list, or none.")
    return [] if gone else values or None
