"""Door: what precedes admins (clients, groups, invites); IAM guards it in the cloud, a token file on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework

from shared.entry import operator_requests as requests
from shared.entry.http import Routes

if TYPE_CHECKING:
    import flask

ROUTES = Routes({
    ("POST", "/clients"): requests.add_client,
    ("GET", "/clients"): requests.list_clients,
    ("GET", "/clients/<client_id>"): requests.show_client,
    ("POST", "/clients/<client_id>/tokens"): requests.set_token_terms,
    ("POST", "/groups"): requests.create_group,
    ("GET", "/groups/<group_id>"): requests.show_group,
    ("POST", "/groups/<group_id>/remove"): requests.remove_user,
    ("POST", "/invites"): requests.invite,
})  # fmt: skip


@functions_framework.http
def operator(request: flask.Request) -> flask.Response:
    """Answer the operator."""
    return ROUTES.answer(request)
