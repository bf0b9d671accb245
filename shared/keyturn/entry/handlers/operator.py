"""The operator's requests: parse, call one use case, show."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

from keyturn.domain.errors import InvalidRequest
from keyturn.domain.model import ClientKind
from keyturn.domain.token_terms import DEFAULT_TERMS
from keyturn.entry.composition.suite import current
from keyturn.entry.http import views
from keyturn.entry.http.routing import argument, fields_of
from keyturn.records.invite import InvitePurpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import flask

    from keyturn.domain.request_fields import Fields
    from keyturn.domain.token_terms import TokenTerms


def add_client(request: flask.Request) -> Mapping[str, Any]:
    """Add a client."""
    fields = fields_of(request)
    client_id = fields.text("client_id")
    policy = fields.fields("policy").values if "policy" in fields.values else {}
    terms = _terms(fields)(DEFAULT_TERMS)
    given = cast("Mapping[str, int | bool]", policy)
    current().operator.administration.add_client(client_id, _kind(fields), _groups(fields), given, terms)
    return show_client(request, client_id)


def set_token_terms(request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Change what a client's access tokens say; what is not named stays."""
    current().operator.set_token_terms(client_id, _terms(fields_of(request)))
    return show_client(request, client_id)


def _terms(fields: Fields) -> Callable[[TokenTerms], TokenTerms]:
    given: dict[str, Any] = {name: fields.texts(name) for name in ("scopes", "introspects") if name in fields.values}
    if audience := fields.optional_text("audience"):  # there is no way back to none: older tokens might live up
        given["audience"] = audience
    return lambda terms: replace(terms, **given)


def _kind(fields: Fields) -> ClientKind:
    kind = fields.optional_text("kind") or ClientKind.OAUTH2_CLIENT_SECRET.value
    if kind not in set(ClientKind):
        raise InvalidRequest("unknown_kind", "There is no such kind of client.")
    return ClientKind(kind)


def _groups(fields: Fields) -> Sequence[str]:
    groups = fields.texts("groups")
    if not groups:
        raise InvalidRequest("bad_field", "groups must name at least one group.")
    if len(set(groups)) != len(groups):  # its notices would go out twice in one log
        raise InvalidRequest("bad_field", "groups must name each group once.")
    return groups


def list_clients(request: flask.Request) -> Mapping[str, Any]:
    """List a page of clients."""
    clients, following = current().operator.administration.list_clients(argument(request, "after"))
    return {"clients": [views.client_line(client) for client in clients], "next": following}


def show_client(_request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Show a client."""
    return views.client_view(current().status.client(None, client_id))


def create_group(request: flask.Request) -> Mapping[str, Any]:
    """Create a group."""
    group_id = fields_of(request).text("group_id")
    current().operator.administration.create_group(group_id)
    return show_group(request, group_id)


def show_group(_request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """Show a group."""
    return views.group_view(*current().status.group_seen(group_id))


def invite(request: flask.Request) -> Mapping[str, Any]:
    """Make an invite; first, devices that it is to replace are revoked."""
    fields = fields_of(request)
    user, purpose = fields.text("user"), fields.optional_text("purpose") or InvitePurpose.JOIN.value
    if purpose not in {InvitePurpose.JOIN, InvitePurpose.DEVICE, InvitePurpose.TOTP}:
        raise InvalidRequest("unknown_purpose", "There is no such purpose of an invite.")
    revoked = fields.texts("revoke")
    if revoked and purpose != InvitePurpose.DEVICE:
        raise InvalidRequest("bad_field", "Devices are revoked by an invite for another device.")
    gone = {"revoked": asdict(current().operator.suspension.revoke(user, revoked))} if revoked else {}
    made = current().operator.invites(
        user, fields.text("group_id"), InvitePurpose(purpose), fields.optional_text("subject")
    )
    return {**made, **gone}


def remove_user(request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """Remove a person from a group."""
    return asdict(current().operator.remove_user(group_id, fields_of(request).text("user")))
