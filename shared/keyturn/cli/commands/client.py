"""`keyturn client`: add, list, show and configure clients."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from keyturn.cli.commands.client_access import access, access_facts, warn_of_end
from keyturn.cli.commands.client_import import import_
from keyturn.cli.commands.client_policy import policy, warn_of_short_grace
from keyturn.cli.commands.client_tokens import Algorithm, Audience, Introspects, Scopes, terms, token_facts, tokens
from keyturn.cli.commands.cutover import cutover
from keyturn.cli.durations import format_duration
from keyturn.cli.output import moment, print_facts, print_json, print_table, print_warning, waiting
from keyturn.cli.session import ClientId, Grace, Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NoOperatorTokenError
from keyturn.domain.encodings import identifier

app = typer.Typer(no_args_is_help=True, help="Add, list, show and configure clients.")
app.command("tokens")(tokens)
app.command("import")(import_)
app.command("policy")(policy)
app.command("access")(access)
app.command("cutover")(cutover)


class Kind(StrEnum):
    """The kinds of credential as options name them."""

    OAUTH2 = "oauth2"
    X_API_KEY = "x-api-key"


_POLICY = {
    "grace": "grace_seconds",
    "shortest lead": "minimum_not_before_seconds",
    "shortest interval": "minimum_interval_seconds",
}
"""The policy values that `show` prints: title → name."""
_WIRE_KINDS = {Kind.OAUTH2: "oauth2_client_secret", Kind.X_API_KEY: "x_api_key"}


@app.command()
def add(
    context: typer.Context,
    client_id: ClientId,
    *,
    group: Annotated[list[str], typer.Option(help="An admin group that administers the client. May be repeated.")],
    kind: Annotated[Kind, typer.Option(help="The kind of its credential.")] = Kind.OAUTH2,
    quorum: Annotated[int | None, typer.Option(min=1, help="How many admins must acknowledge a new secret.")] = None,
    grace: Grace = None,
    audience: Audience = None,
    scope: Scopes = None,
    introspects: Introspects = None,
    algorithm: Algorithm = None,
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
        **terms(audience, scope or None, introspects or None, algorithm),
    }
    with waiting("Adding the client"):
        client = session.server().operator("POST", "/clients", session.operator_token(), fields)
    warn_of_short_grace(client)
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
    """Show a client and its versions, as operator or as a member of its groups."""
    session = session_of(context)
    with waiting("Reading the client"):
        client = _client(session, identifier(client_id))
    _report(client, as_json=json)


def _client(session: Session, client_id: str) -> dict[str, object]:
    try:
        token = session.operator_token()
    except NoOperatorTokenError:  # members of its groups may see the client, too
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
    facts.append(("groups", ", ".join(answers.texts(client, "groups"))))
    terms_facts = token_facts(answers.mapping(client, "tokens"))
    print_facts([*facts, *_policy_facts(client), *terms_facts, *access_facts(client)])
    rows = map(_version_row, answers.mappings(client, "versions"))
    print_table(("VERSION", "STATE", "FROM", "UNTIL", "BY"), rows, empty="The client has no live version.")
    warn_of_end(client)
    if client.get("stopped") is True:
        print_warning("The operator has stopped the service: only cancel, revoke and suspend are accepted.")


def _policy_facts(client: dict[str, object]) -> list[tuple[str, object]]:
    policy = answers.mapping(client, "policy")
    return [(title, _duration(policy, name)) for title, name in _POLICY.items()]


def _duration(policy: dict[str, object], name: str) -> str:
    return format_duration(timedelta(seconds=answers.integer(policy, name)))


def _version_row(version: dict[str, object]) -> list[object]:
    window = [moment(version.get("not_before")), moment(version.get("not_after"))]
    return [version.get("version_id"), version.get("state"), *window, version.get("rotated_by")]
