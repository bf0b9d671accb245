"""Door: what precedes admins' acts, and admins themselves; IAM guards it in the cloud, a token file on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.handlers import operator as requests
from keyturn.entry.http.routing import Routes, later

if TYPE_CHECKING:
    import flask

admins, clients, cutover, denials, leak = (
    later(f"keyturn.entry.handlers.{name}")
    for name in ("operator_admins", "operator_clients", "cutover", "operator_denials", "operator_leaks")
)

ROUTES = Routes({
    ("POST", "/clients"): requests.add_client,
    ("GET", "/clients"): requests.list_clients,
    ("GET", "/clients/<client_id>"): requests.show_client,
    ("GET", "/clients/<client_id>/cutover"): cutover("for_operator"),
    ("POST", "/callers"): cutover("tag"),
    ("POST", "/clients/<client_id>/tokens"): requests.set_token_terms,
    ("POST", "/imports"): clients("import_clients"),
    ("POST", "/clients/<client_id>/policy"): clients("set_policy"),
    ("GET", "/versions"): leak("versions"),
    ("POST", "/leak/revoke"): leak("revoke"),
    ("GET", "/denied"): denials("show_denied"),
    ("POST", "/denied"): denials("change_denied"),
    ("GET", "/stop"): denials("show_stop"),
    ("POST", "/stop"): denials("stop"),
    ("POST", "/start"): denials("start"),
    ("POST", "/groups"): requests.create_group,
    ("GET", "/groups/<group_id>"): requests.show_group,
    ("POST", "/groups/<group_id>/remove"): requests.remove_user,
    ("POST", "/invites"): requests.invite,
    ("GET", "/admins"): admins("list_admins"),
    ("POST", "/admins/<user>/suspend"): admins("suspend"),
    ("POST", "/admins/<user>/resume"): admins("resume"),
    ("POST", "/admins/<user>/remove"): admins("remove"),
    ("POST", "/id_tokens"): admins("id_token"),
})  # fmt: skip


@functions_framework.http
def operator(request: flask.Request) -> flask.Response:
    """Answer the operator."""
    return ROUTES.answer(request)
