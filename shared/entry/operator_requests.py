"""The operator's requests: parse, call one use case, show."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from shared.domain.errors import InvalidRequest
from shared.domain.model import ClientKind
from shared.entry import views
from shared.entry.http import fields_of
from shared.entry.wiring import suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import flask

    from shared.use_cases.fields import Fields


def add_client(request: flask.Request) -> Mapping[str, Any]:
    """Add a client."""
    fields = fields_of(request)
    client_id = fields.text("client_id")
    policy = fields.fields("policy").values if "policy" in fields.values else {}
    suite().operate.add_client(client_id, _kind(fields), _groups(fields), cast("Mapping[str, int | bool]", policy))
    return show_client(request, client_id)


def _kind(fields: Fields) -> ClientKind:
    kind = fields.optional_text("kind") or ClientKind.OAUTH2_CLIENT_SECRET.value
    if kind not in set(ClientKind):
        raise InvalidRequest("unknown_kind", "There is no such kind of client.")
    return ClientKind(kind)


def _groups(fields: Fields) -> Sequence[str]:
    groups = fields.values.get("groups")
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise InvalidRequest("bad_field", "groups must be a list of group ids.")
    if len(set(groups)) != len(groups):  # its notices would go out twice in one log
        raise InvalidRequest("bad_field", "groups must name each group once.")
    return groups


def list_clients(request: flask.Request) -> Mapping[str, Any]:
    """List a page of clients."""
    clients, following = suite().operate.list_clients(request.args.get("after"))
    return {"clients": [views.client_line(client) for client in clients], "next": following}


def show_client(_request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Show a client."""
    return views.client_view(suite().status.client(None, client_id))


def create_group(request: flask.Request) -> Mapping[str, Any]:
    """Create a group."""
    group_id = fields_of(request).text("group_id")
    suite().operate.create_group(group_id)
    return show_group(request, group_id)


def show_group(_request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """Show a group."""
    return views.group_view(*suite().status.group_seen(group_id))


def invite(request: flask.Request) -> Mapping[str, Any]:
    """Make an invite."""
    fields = fields_of(request)
    return suite().operate.invite(fields.text("user"), fields.text("group_id"))


def remove_user(request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """Remove a person from a group."""
    return asdict(suite().remove_user(group_id, fields_of(request).text("user")))
