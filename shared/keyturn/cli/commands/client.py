"""`keyturn client`: clients as the operator adds and sees them."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from keyturn.cli.commands.client_import import import_
from keyturn.cli.commands.client_policy import policy
from keyturn.cli.commands.client_tokens import Audience, Introspects, Scopes, terms, token_facts, tokens
from keyturn.cli.commands.cutover import cutover
from keyturn.cli.durations import format_duration, parse_duration
from keyturn.cli.options import ClientId, Json
from keyturn.cli.output import moment, print_facts, print_json, print_table, print_warning, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NoOperatorTokenError
from keyturn.domain.encodings import identifier

app = typer.Typer(no_args_is_help=True, help="Clients: the integrators whose credentials are turned over.")
app.command("tokens")(tokens)
app.command("import")(import_)
app.command("policy")(policy)
app.command("cutover")(cutover)


class Kind(StrEnum):
    """Kinds of credential, as the command line names them."""

    OAUTH2 = "oauth2"
    X_API_KEY = "x-api-key"


_POLICY = {
    "grace": "grace_seconds",
    "shortest lead": "minimum_not_before_seconds",
    "shortest interval": "minimum_interval_seconds",
}
"""What `show` says of the policy: how long the version left goes on, and what a rotation's times have to keep to."""
_WIRE_KINDS = {Kind.OAUTH2: "oauth2_client_secret", Kind.X_API_KEY: "x_api_key"}


@app.command()
def add(
    context: typer.Context,
    client_id: ClientId,
    *,
    group: Annotated[list[str], typer.Option(help="An admin group that is authorised for it; may be repeated.")],
    kind: Annotated[Kind, typer.Option(help="What it authenticates with.")] = Kind.OAUTH2,
    quorum: Annotated[int | None, typer.Option(min=1, help="How many people have to acknowledge.")] = None,
    grace: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="7d", help="How long the version left goes on working."),
    ] = None,
    audience: Audience = None,
    scope: Scopes = None,
    introspects: Introspects = None,
    json: Json = False,
) -> None:
    """Add a client (operator)."""
    session = session_of(context)
    policy: dict[str, object] = {} if quorum is None else {"quorum": quorum}
    if grace is not None:
        policy["grace_seconds"] = grace // timedelta(seconds=1)
    fields = {
        "client_id": identifier(client_id),
        "groups": [identifier(item) for item in group],
        "kind": _WIRE_KINDS[kind],
        "policy": policy,
        **terms(audience, scope or None, introspects or None),
    }
    with waiting("Adding the client"):
        client = session.server().operator("POST", "/clients", session.operator_token(), fields)
    _report(client, as_json=json)


@app.command("list")
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List all clients (operator)."""
    session = session_of(context)
    with waiting("Reading the clients"):
        clients = _all_clients(session)
    if json:
        print_json({"clients": clients})
        return
    names = ("client_id", "kind", "status", "current_version", "previous_version", "active_rotation")
    titles = ("CLIENT", "KIND", "STATUS", "CURRENT", "IN GRACE", "ROTATION")
    print_table(titles, ([client.get(name) for name in names] for client in clients), empty="There are no clients yet.")


@app.command()
def show(context: typer.Context, client_id: ClientId, *, json: Json = False) -> None:
    """Show a client: as operator where this user is one, else as a member of its groups."""
    session = session_of(context)
    with waiting("Reading the client"):
        client = _client(session, identifier(client_id))
    _report(client, as_json=json)


def _client(session: Session, client_id: str) -> dict[str, object]:
    try:
        token = session.operator_token()
    except NoOperatorTokenError:
        return session.device().client(client_id)
    return session.server().operator("GET", f"/clients/{client_id}", token)


def _all_clients(session: Session) -> list[dict[str, object]]:
    server, token = session.server(), session.operator_token()
    clients: list[dict[str, object]] = []
    path: str | None = "/clients"
    while path is not None:
        page = server.operator("GET", path, token)
        clients += answers.mappings(page, "clients")
        following = answers.optional_text(page, "next")
        path = None if following is None else f"/clients?after={identifier(following)}"
    return clients


def _report(client: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(client)
        return
    names = ("client_id", "kind", "status", "quorum", "current_version", "previous_version", "active_rotation")
    facts = [(name.replace("_", " "), client.get(name)) for name in names]
    shown = token_facts(answers.mapping(client, "tokens"))
    print_facts([*facts, ("groups", ", ".join(answers.texts(client, "groups"))), *_policy_facts(client), *shown])
    versions = answers.mappings(client, "versions")
    print_table(
        ("VERSION", "STATE", "FROM", "UNTIL", "BY"), map(_version_row, versions), empty="No version of it is live."
    )
    if client.get("stopped") is True:
        print_warning("The operator has stopped everything: only cancel, revoke and suspend are taken.")


def _policy_facts(client: dict[str, object]) -> list[tuple[str, object]]:
    policy = answers.mapping(client, "policy")
    return [(title, _duration(policy, name)) for title, name in _POLICY.items()]


def _duration(policy: dict[str, object], name: str) -> str:
    return format_duration(timedelta(seconds=answers.integer(policy, name)))


def _version_row(version: dict[str, object]) -> list[object]:
    window = [moment(version.get("not_before")), moment(version.get("not_after"))]
    return [version.get("version_id"), version.get("state"), *window, version.get("rotated_by")]
