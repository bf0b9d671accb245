"""The operator's door, and those that only the suite itself calls, route by route (docs/http.md)."""

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
_STOPPED: Final = {"allOf": [fields({"user": ID, "status": one_of(*AdminStatus)}), ref("Removed")]}
_LISTS: Final = {"users": many(ID), "npubs": many(NPUB), "clients": many(ID)}
_NAMES: Final = fields({}, _LISTS)
_DENIED: Final = named(
    fields({**_LISTS, "settings": many(TEXT), "everywhere": FLAG}), "`settings`: what KEYTURN_DENIED denies besides"
)
_STANDING: Final = fields({"stopped": FLAG, "since": maybe(TIME), "reason": maybe(TEXT), "everywhere": FLAG})

ADMINISTRATION: Final[Operations] = {
    **CLIENTS,
    ("POST", "/groups"): operation("Create a group", ref("Group"), takes=fields({"group_id": ID}), signed=OPERATOR),
    ("GET", "/groups/<group_id>"): operation("Show a group", ref("Group"), signed=OPERATOR),
    ("POST", "/groups/<group_id>/remove"): operation(
        "Remove a person from a group", ref("Removed"), takes=fields({"user": ID}), signed=OPERATOR
    ),
    ("POST", "/invites"): operation(
        "Make an invite",
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
    ("POST", "/admins/<user>/suspend"): operation("Stop an admin until they are resumed", _STOPPED, signed=OPERATOR),
    ("POST", "/admins/<user>/resume"): operation(
        "Let a suspended admin act again",
        fields({"user": ID, "status": one_of(*AdminStatus), "awaits_approval": maybe(SHA256)}),
        signed=OPERATOR,
    ),
    ("POST", "/admins/<user>/remove"): operation("Stop an admin for good", _STOPPED, signed=OPERATOR),
    ("GET", "/denied"): operation("Show who and what may do nothing", _DENIED, signed=OPERATOR),
    ("POST", "/denied"): operation(
        "Deny, and allow again",
        _DENIED,
        takes=fields({}, {"add": _NAMES, "remove": _NAMES, "reason": maybe(TEXT)}),
        signed=OPERATOR,
    ),
    ("GET", "/stop"): operation("Show whether everything is stopped", _STANDING, signed=OPERATOR),
    ("POST", "/stop"): operation("Stop everything", _STANDING, takes=fields({"reason": TEXT}), signed=OPERATOR),
    ("POST", "/start"): operation(
        "Let everything go on", _STANDING, takes=fields({}, {"reason": maybe(TEXT)}), signed=OPERATOR
    ),
    ("POST", "/id_tokens"): operation(
        "Have one machine's test authority say who somebody is",
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
    ("POST", "/"): operation("Take a CloudEvent of the store; what is none is dropped", OPEN, signed=OPERATOR),
}
DISTRIBUTE: Final[Operations] = {
    ("POST", "/"): operation("Take a published message; what is none is dropped", OPEN, signed=OPERATOR),
}
