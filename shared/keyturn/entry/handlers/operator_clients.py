"""The operator's routes about clients: add, import, show, and change their policy and tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from keyturn.domain.errors import InvalidRequest
from keyturn.entry.composition.suite import current
from keyturn.entry.http import views
from keyturn.entry.http.requests import call_of, fields_of, page_start

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import flask

    from keyturn.domain.model import ClientKind
    from keyturn.domain.request_fields import Fields
    from keyturn.domain.token_terms import TokenTerms


def add_client(request: flask.Request) -> Mapping[str, Any]:
    """Add a client."""
    from keyturn.domain.token_terms import DEFAULT_TERMS

    fields = fields_of(request)
    client_id = fields.text("client_id")
    # The policy itself refuses values of another type, with an error of its own.
    policy = cast("Mapping[str, int | bool]", fields.fields("policy").values if "policy" in fields.values else {})
    terms = _terms_change(fields)(DEFAULT_TERMS)
    administration = current().operator.administration
    administration.add_client(client_id, _kind(fields), _groups(fields), policy, terms, call_of(request))
    return show_client(request, client_id)


def import_clients(request: flask.Request) -> Mapping[str, Any]:
    """Import a page of clients with their bcrypt hashes. Each row is accepted or refused by itself."""
    rows = fields_of(request).values.get("clients")
    if not isinstance(rows, list):
        raise InvalidRequest("bad_field", "clients must be a list of objects.")
    result = current().operator.import_clients(rows, call_of(request))
    refusals = [{"index": index, "reason": reason} for index, reason in result.refusals]
    return {"added": list(result.added), "known": list(result.existing), "refused": refusals}


def list_clients(request: flask.Request) -> Mapping[str, Any]:
    """List a page of clients."""
    clients, following = current().operator.administration.list_clients(page_start(request))
    return {"clients": [views.client_line(client) for client in clients], "next": following}


def show_client(_request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Show a client."""
    return views.client_view(current().status.client(None, client_id))


def set_policy(request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Change a client's policy. Null removes an override."""
    changes = _policy_changes(fields_of(request).fields("policy"))
    current().operator.set_policy(client_id, changes)
    return show_client(request, client_id)


def set_token_terms(request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Change the audience and scopes of a client's access tokens. Absent fields keep their values."""
    current().operator.set_token_terms(client_id, _terms_change(fields_of(request)))
    return show_client(request, client_id)


def set_access(request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Change until when and from where a client's credentials are accepted. Absent fields keep their values."""
    from keyturn.use_cases.clients.set_access import AccessChange

    fields = fields_of(request)
    sources = fields.texts("sources") if "sources" in fields.values else None
    change = AccessChange(sources, "valid_until" in fields.values, fields.optional_time("valid_until"))
    current().operator.set_access(client_id, change)
    return show_client(request, client_id)


def _policy_changes(fields: Fields) -> dict[str, int | bool | None]:
    changes: dict[str, int | bool | None] = {}
    for name, value in fields.values.items():
        if value is not None and not isinstance(value, (int, bool)):
            raise InvalidRequest("bad_field", "A policy value is a whole number, true, false or null.")
        changes[name] = value
    return changes


def _terms_change(fields: Fields) -> Callable[[TokenTerms], TokenTerms]:
    changes: dict[str, Any] = {name: fields.texts(name) for name in ("scopes", "introspects") if name in fields.values}
    # An audience can be changed and never removed: tokens from before it was set might be accepted again.
    for name in ("audience", "algorithm"):
        if value := fields.optional_text(name):
            changes[name] = value
    return lambda terms: replace(terms, **changes)


def _kind(fields: Fields) -> ClientKind:
    from keyturn.domain.model import ClientKind

    kind = fields.optional_text("kind") or ClientKind.OAUTH2_CLIENT_SECRET.value
    if kind not in set(ClientKind):
        raise InvalidRequest("unknown_kind", "There is no such kind of client.")
    return ClientKind(kind)


def _groups(fields: Fields) -> Sequence[str]:
    groups = fields.texts("groups")
    if not groups:
        raise InvalidRequest("bad_field", "groups must name at least one group.")
    if len(set(groups)) != len(groups):  # each secret would be delivered twice to the same group
        raise InvalidRequest("bad_field", "groups must name each group once.")
    return groups
