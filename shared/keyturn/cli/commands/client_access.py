"""`keyturn client access`: until when, and from which addresses, a client's credentials are accepted."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from keyturn.cli.output import moment, print_facts, print_json, print_warning, waiting
from keyturn.cli.session import ClientId, Json, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import UsageError
from keyturn.domain.encodings import identifier, to_milliseconds

_WARNED_MILLISECONDS = 30 * 24 * 3600 * 1000
"""How long before its end a client is warned of."""


def access(
    context: typer.Context,
    client_id: ClientId,
    *,
    valid_until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When its credentials end, in UTC: 2027-01-31, 2027-01-31T12:00."),
    ] = None,
    no_end: Annotated[bool, typer.Option("--no-end", help="Remove the end.")] = False,
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="RANGE", help="An address range that they are accepted from. May be repeated."),
    ] = None,
    any_source: Annotated[bool, typer.Option("--any-source", help="Accept them from all addresses.")] = False,
    json: Json = False,
) -> None:
    """Show or change until when, and from where, a client's credentials are accepted (operator).

    Values that are not named do not change. A list of ranges replaces the old list.
    Token endpoint, checks and guards refuse everything else.
    """
    changes = _changes(valid_until, no_end=no_end, sources=source, any_source=any_source)
    session = session_of(context)
    path = f"/clients/{identifier(client_id)}"
    with waiting("Changing the access" if changes else "Reading the client"):
        server, token = session.server(), session.operator_token()
        new_client = server.operator("POST", f"{path}/access", token, changes) if changes else None
        client = new_client or server.operator("GET", path, token)
    if json:
        print_json({name: client.get(name) for name in ("client_id", "valid_until", "sources")})
        return
    print_facts([("client", answers.text(client, "client_id")), *access_facts(client, whole=True)])
    warn_of_end(client)


def access_facts(client: dict[str, object], *, whole: bool = False) -> list[tuple[str, object]]:
    """Return a client's end and its ranges as facts, without those that it does not have unless `whole`."""
    sources = answers.texts(client, "sources") if "sources" in client else []
    facts: list[tuple[str, object]] = [
        ("valid until", moment(client.get("valid_until")) or ("no end" if whole else "")),
        ("accepted from", " ".join(sources) or ("all addresses" if whole else "")),
    ]
    return [(name, value) for name, value in facts if value]


def warn_of_end(client: dict[str, object]) -> None:
    """Warn if a client's credentials end soon, or have ended."""
    end, now = client.get("valid_until"), client.get("now")
    if not isinstance(end, int) or not isinstance(now, int) or end - now > _WARNED_MILLISECONDS:
        return
    verb = "end" if end > now else "have ended"
    print_warning(f"The credentials of this client {verb} at {moment(end)}, whatever their versions.")


def _changes(
    valid_until: str | None, *, no_end: bool, sources: list[str] | None, any_source: bool
) -> dict[str, object]:
    if (no_end and valid_until) or (any_source and sources):
        raise UsageError("An option and its opposite exclude each other.", "Give one of the two.")
    changes: dict[str, object] = {}
    if valid_until or no_end:
        changes["valid_until"] = _milliseconds(valid_until) if valid_until else None
    if sources or any_source:
        changes["sources"] = sources or []
    return changes


def _milliseconds(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("The end is not a time.", "Write it as 2027-01-31 or 2027-01-31T12:00Z.") from None
    return to_milliseconds(time if time.tzinfo else time.replace(tzinfo=UTC))
