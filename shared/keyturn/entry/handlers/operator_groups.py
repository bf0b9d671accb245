"""The operator's routes about groups, their members and invites."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import InvalidRequest
from keyturn.entry.composition.suite import current
from keyturn.entry.http import views
from keyturn.entry.http.requests import call_of, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def create_group(request: flask.Request) -> Mapping[str, Any]:
    """Create a group."""
    group_id = fields_of(request).text("group_id")
    current().operator.administration.create_group(group_id, call_of(request))
    return show_group(request, group_id)


def show_group(_request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """Show a group."""
    return views.group_view(*current().status.group_activity(group_id))


def remove_user(request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """Remove a user from a group."""
    user = fields_of(request).text("user")
    return asdict(current().operator.remove_user(group_id, user, call_of(request)))


def create_invite(request: flask.Request) -> Mapping[str, Any]:
    """Create an invite. Devices that it replaces are revoked first, so that an interruption leaves no extra device."""
    from keyturn.records.invite import InvitePurpose

    fields = fields_of(request)
    user, purpose = fields.text("user"), fields.optional_text("purpose") or InvitePurpose.JOIN.value
    if purpose not in {InvitePurpose.JOIN, InvitePurpose.DEVICE, InvitePurpose.TOTP}:
        raise InvalidRequest("unknown_purpose", "There is no such purpose of an invite.")
    npubs = fields.texts("revoke")
    if npubs and purpose != InvitePurpose.DEVICE:
        raise InvalidRequest("bad_field", "Only an invite for another device revokes devices.")
    # Revoking first: if the second step fails, the user has one device too few rather than one too many.
    operator = current().operator
    revoked = {"revoked": asdict(operator.suspension.revoke(user, npubs, call_of(request)))} if npubs else {}
    invite = operator.invites(user, fields.text("group_id"), InvitePurpose(purpose), fields.optional_text("subject"))
    return {**invite, **revoked}
