"""`keyturn client tokens`: the audience and scopes of a client's access tokens, and the tokens it may introspect."""

from typing import Annotated

import typer

from keyturn.cli.output import print_facts, print_json, waiting
from keyturn.cli.session import ClientId, Json, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier

Audience = Annotated[
    str | None, typer.Option(metavar="URI", help="Audience of its tokens, instead of the deployment's.")
]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="SCOPE", help="A scope that its tokens may have. May be repeated."),
]
Introspects = Annotated[
    list[str] | None,
    typer.Option(metavar="URI", help="An audience: as its resource server, the client may introspect its tokens."),
]
Algorithm = Annotated[
    str | None,
    typer.Option(metavar="ES256|RS256", help="Algorithm of its tokens, instead of the deployment's."),
]


def tokens(
    context: typer.Context,
    client_id: ClientId,
    *,
    audience: Audience = None,
    scope: Scopes = None,
    no_scopes: Annotated[bool, typer.Option("--no-scopes", help="Remove all scopes.")] = False,
    introspects: Introspects = None,
    no_introspects: Annotated[
        bool, typer.Option("--no-introspects", help="Remove all audiences that it may introspect.")
    ] = False,
    algorithm: Algorithm = None,
    json: Json = False,
) -> None:
    """Show or change the audience, scopes and algorithm of a client's access tokens (operator).

    Values that are not named do not change. A list replaces the old list.
    Issued tokens with more rights than the new terms stop working at once.
    """
    lists = (
        _list_option("--scope", scope, clear=no_scopes),
        _list_option("--introspects", introspects, clear=no_introspects),
    )
    changes = terms(audience, *lists, algorithm)
    session = session_of(context)
    path = f"/clients/{identifier(client_id)}"
    with waiting("Changing the tokens" if changes else "Reading the client"):
        server, token = session.server(), session.operator_token()
        new_client = server.operator("POST", f"{path}/tokens", token, changes) if changes else None
        client = new_client or server.operator("GET", path, token)
    fields = answers.mapping(client, "tokens")
    if json:
        print_json({"client_id": answers.text(client, "client_id"), "tokens": fields})
        return
    print_facts([("client", answers.text(client, "client_id")), *token_facts(fields, whole=True)])


def terms(
    audience: str | None, scopes: list[str] | None, introspects: list[str] | None, algorithm: str | None = None
) -> dict[str, object]:
    """Return the fields of a request that changes a client's terms. None leaves a field unchanged."""
    fields = {"audience": audience, "scopes": scopes, "introspects": introspects, "algorithm": algorithm}
    return {name: value for name, value in fields.items() if value is not None}


def token_facts(fields: dict[str, object], *, whole: bool = False) -> list[tuple[str, object]]:
    """Return a client's terms as facts, without those that have their default unless `whole`."""
    facts = [
        ("audience", answers.optional_text(fields, "audience") or ("the deployment's" if whole else "")),
        ("scopes", " ".join(answers.texts(fields, "scopes"))),
        ("introspects", " ".join(answers.texts(fields, "introspects"))),
        ("algorithm", answers.optional_text(fields, "algorithm") or ("the deployment's" if whole else "")),
    ]
    return [(name, value) for name, value in facts if whole or value]


def _list_option(option: str, values: list[str] | None, *, clear: bool) -> list[str] | None:
    if clear and values:
        raise UsageError(f"{option} and its opposite exclude each other.", "Give the whole list, or clear it.")
    return [] if clear else values or None
