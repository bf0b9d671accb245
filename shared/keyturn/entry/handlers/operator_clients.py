"""The operator's rarer requests about clients, imports and policy: parse, call one use case, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import InvalidRequest
from keyturn.entry.composition.suite import current
from keyturn.entry.handlers.operator import show_client
from keyturn.entry.http.routing import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def import_clients(request: flask.Request) -> Mapping[str, Any]:
    """Import a page of clients with their bcrypt hashes."""
    rows = fields_of(request).values.get("clients")
    if not isinstance(rows, list):
        raise InvalidRequest("bad_field", "clients must be a list of objects.")
    done = current().operator.import_clients(rows)
    refused = [{"index": index, "reason": reason} for index, reason in done.refused]
    return {"added": list(done.added), "known": list(done.known), "refused": refused}


def set_policy(request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Change a client's policy."""
    changes = fields_of(request).fields("policy").values
    if not all(value is None or isinstance(value, (int, bool)) for value in changes.values()):
        raise InvalidRequest("bad_field", "A policy value is a whole number, true, false or null.")
    current().operator.set_policy(client_id, changes)  # type: ignore[arg-type]  # checked just now
    return show_client(request, client_id)
