"""The function `status`: what an admin's app reads. Members and invitees sign their requests (NIP-98)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.entry.composition.suite import current
from keyturn.entry.http import views
from keyturn.entry.http.requests import page_start
from keyturn.entry.http.routing import Routes
from keyturn.entry.http.signatures import signer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def describe(_request: flask.Request) -> Mapping[str, Any]:
    """Return the description of all functions of this deployment (OpenAPI)."""
    from keyturn.entry.openapi.document import document

    return document(current().settings.base_url)


def show_rotation(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show a rotation."""
    return views.rotation_view(current().status.rotation(signer_of(request), key))


def show_client(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show a client."""
    return views.client_view(current().status.client(signer_of(request), key))


def show_cutover(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show how far a client has moved to its new secret, to members of the groups that administer it."""
    from keyturn.entry.http.cutover_view import cutover_view

    return cutover_view(current().cutover(key, signer_of(request)))


def show_group(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show a group."""
    return views.group_view(*current().status.group(signer_of(request), key))


def list_messages(request: flask.Request, group_id: str) -> Mapping[str, Any]:
    """List a page of a group's log."""
    # The page is at most `status.page` long; the next one starts after its last index, so new messages shift nothing.
    status = current().status
    messages = status.messages(signer_of(request), group_id, page_start(request) or "0")
    return views.messages_view(messages, status.page)


def show_welcome(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show the Welcome for a key package of the signer."""
    return {"event": views.event_view(current().status.welcome(signer_of(request), key))}


ROUTES: Final = Routes("status", {
    ("GET", "/openapi.json"): describe,
    ("GET", "/rotations/<key>"): show_rotation,
    ("GET", "/clients/<key>"): show_client,
    ("GET", "/clients/<key>/cutover"): show_cutover,
    ("GET", "/groups/<key>"): show_group,
    ("GET", "/groups/<group_id>/messages"): list_messages,
    ("GET", "/welcomes/<key>"): show_welcome,
})  # fmt: skip
