"""The routes of `operator`, and of the functions that only the suite itself calls (docs/http.md)."""

from __future__ import annotations

from typing import Final

from keyturn.entry.openapi.clients import CLIENTS
from keyturn.entry.openapi.forms import (
    COUNT,
    FLAG,
    ID,
    JWT,
    NPUB,
    OPEN,
    SHA256,
    TEXT,
    TIME,
    fields,
    many,
    maybe,
    named,
    one_of,
    ref,
)
from keyturn.entry.openapi.operations import OPERATOR, Operations, operation
from keyturn.records.admin import AdminStatus
from keyturn.records.invite import InvitePurpose

_PURPOSE: Final = one_of(*(purpose for purpose in InvitePurpose if purpose is not InvitePurpose.RESUME))
_DEVICE: Final = fields({"npub": NPUB, "kind": TEXT})
_SUSPENSION: Final = {"allOf": [fields({"user": ID, "status": one_of(*AdminStatus)}), ref("Removed")]}
_LISTS: Final = {"users": many(ID), "npubs": many(NPUB), "clients": many(ID)}
_NAMES: Final = fields({}, _LISTS)
_DENIED: Final = named(
    fields({**_LISTS, "settings": many(TEXT), "everywhere": FLAG}), "`settings`: further entries, from KEYTURN_DENIED"
)
_STOP_STATE: Final = fields({"stopped": FLAG, "since": maybe(TIME), "reason": maybe(TEXT), "everywhere": FLAG})

ADMINISTRATION: Final[Operations] = {
    **CLIENTS,
    ("POST", "/groups"): operation("Create a group", ref("Group"), takes=fields({"group_id": ID}), signed=OPERATOR),
    ("GET", "/groups/<group_id>"): operation("Show a group", ref("Group"), signed=OPERATOR),
    ("POST", "/groups/<group_id>/remove"): operation(
        "Remove a user from a group", ref("Removed"), takes=fields({"user": ID}), signed=OPERATOR
    ),
    ("POST", "/invites"): operation(
        "Create an invite",
        fields(
            {
                "code": TEXT,
                "invite": SHA256,
                "user": ID,
                "group_id": ID,
                "purpose": _PURPOSE,
                "expires_at": TIME,
                "approvals": COUNT,
                "needed": COUNT,
            },
            {"revoked": ref("Removed")},
        ),
        takes=fields(
            {"user": ID, "group_id": ID}, {"subject": maybe(TEXT), "purpose": maybe(_PURPOSE), "revoke": many(TEXT)}
        ),
        signed=OPERATOR,
    ),
    ("GET", "/admins"): operation(
        "List all admins",
        fields({"admins": many(fields({"user": ID, "status": one_of(*AdminStatus), "devices": many(_DEVICE)}))}),
        signed=OPERATOR,
    ),
    ("POST", "/admins/<user>/suspend"): operation(
        "Suspend an admin until they are resumed", _SUSPENSION, signed=OPERATOR
    ),
    ("POST", "/admins/<user>/resume"): operation(
        "Resume a suspended admin",
        fields({"user": ID, "status": one_of(*AdminStatus), "awaits_approval": maybe(SHA256)}),
        signed=OPERATOR,
    ),
    ("POST", "/admins/<user>/remove"): operation("Remove an admin for good", _SUSPENSION, signed=OPERATOR),
    ("GET", "/denied"): operation("Show the denylists", _DENIED, signed=OPERATOR),
    ("POST", "/denied"): operation(
        "Add to the denylists, and remove from them",
        _DENIED,
        takes=fields({}, {"add": _NAMES, "remove": _NAMES, "reason": maybe(TEXT)}),
        signed=OPERATOR,
    ),
    ("GET", "/stop"): operation("Show whether the deployment is stopped", _STOP_STATE, signed=OPERATOR),
    ("POST", "/stop"): operation("Stop the deployment", _STOP_STATE, takes=fields({"reason": TEXT}), signed=OPERATOR),
    ("POST", "/start"): operation(
        "Start the deployment again", _STOP_STATE, takes=fields({}, {"reason": maybe(TEXT)}), signed=OPERATOR
    ),
    ("POST", "/id_tokens"): operation(
        "Issue an ID token of one machine's test identity provider",
        fields({"id_token": JWT, "expires_at": TIME}),
        takes=fields({"user": ID}),
        signed=OPERATOR,
    ),
}

GRACE_SWEEPER: Final[Operations] = {
    ("POST", "/"): operation(
        "Sweep once", fields({"settled": COUNT, "republished": COUNT, "failed": COUNT}), signed=OPERATOR
    ),
}
ON_SECRET_VERSION: Final[Operations] = {
    ("POST", "/"): operation("Take a CloudEvent of the store, and drop anything else", OPEN, signed=OPERATOR),
}
DISTRIBUTE: Final[Operations] = {
    ("POST", "/"): operation("Take a published message, and drop anything else", OPEN, signed=OPERATOR),
}
