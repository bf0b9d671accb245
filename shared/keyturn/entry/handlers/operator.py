"""The function `operator`: the administration that needs no admin. IAM guards it in the cloud, a token on one machine.

Its handlers stand in one module per subject.
"""

from __future__ import annotations

from typing import Final

from keyturn.entry.handlers import (
    operator_admins,
    operator_clients,
    operator_cutover,
    operator_denylist,
    operator_groups,
    operator_leaks,
)
from keyturn.entry.http.routing import Routes

ROUTES: Final = Routes("operator", {
    ("POST", "/clients"): operator_clients.add_client,
    ("GET", "/clients"): operator_clients.list_clients,
    ("GET", "/clients/<client_id>"): operator_clients.show_client,
    ("GET", "/clients/<client_id>/cutover"): operator_cutover.show_cutover,
    ("POST", "/callers"): operator_cutover.caller_tag,
    ("POST", "/clients/<client_id>/tokens"): operator_clients.set_token_terms,
    ("POST", "/clients/<client_id>/access"): operator_clients.set_access,
    ("POST", "/imports"): operator_clients.import_clients,
    ("POST", "/clients/<client_id>/policy"): operator_clients.set_policy,
    ("GET", "/versions"): operator_leaks.list_versions,
    ("POST", "/leak/revoke"): operator_leaks.revoke,
    ("GET", "/denied"): operator_denylist.show_denied,
    ("POST", "/denied"): operator_denylist.change_denied,
    ("GET", "/stop"): operator_denylist.show_stop,
    ("POST", "/stop"): operator_denylist.stop,
    ("POST", "/start"): operator_denylist.start,
    ("POST", "/groups"): operator_groups.create_group,
    ("GET", "/groups/<group_id>"): operator_groups.show_group,
    ("POST", "/groups/<group_id>/remove"): operator_groups.remove_user,
    ("POST", "/invites"): operator_groups.create_invite,
    ("GET", "/admins"): operator_admins.list_admins,
    ("POST", "/admins/<user>/suspend"): operator_admins.suspend,
    ("POST", "/admins/<user>/resume"): operator_admins.resume,
    ("POST", "/admins/<user>/remove"): operator_admins.remove,
    ("POST", "/id_tokens"): operator_admins.issue_id_token,
})  # fmt: skip
