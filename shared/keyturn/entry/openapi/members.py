"""The routes of admins and their devices: `rotate_request`, `status`, `enrol`, `admin_proof` (docs/http.md)."""

from __future__ import annotations

from typing import Final

from keyturn.entry.openapi.clients import CUTOVER
from keyturn.entry.openapi.forms import (
    BASE64URL,
    COUNT,
    FLAG,
    ID,
    JWT,
    ROTATION_ID,
    SHA256,
    TEXT,
    TIME,
    Schema,
    fields,
    many,
    maybe,
    one_of,
    ref,
)
from keyturn.entry.openapi.operations import NIP98, Operations, at, operation, query
from keyturn.records.admin import AdminStatus
from keyturn.records.invite import InvitePurpose

ROTATE_REQUEST: Final[Operations] = {
    ("POST", "/"): operation(
        "Execute a signed command",
        {
            "anyOf": [
                ref("RotationAnswer"),
                ref("AckAnswer"),
                ref("CommandAnswer"),
                ref("KeysReplacedAnswer"),
            ]
        },
        takes=ref("Event"),
    ),
}

_MESSAGE: Final = fields(
    {"index": COUNT, "kind": {"type": "string", "enum": ["commit", "notice", "gone"]}},
    {"event": ref("Event"), "joined": ref("Event")},
)

STATUS: Final[Operations] = {
    ("GET", "/openapi.json"): operation("Describe all functions", {"type": "object"}),
    ("GET", "/rotations/<key>"): at(operation("Show a rotation", ref("Rotation"), signed=NIP98), key=ROTATION_ID),
    ("GET", "/clients/<key>"): operation("Show a client", ref("Client"), signed=NIP98),
    ("GET", "/clients/<key>/cutover"): operation(
        "Show how far a client has moved to its new secret", CUTOVER, signed=NIP98
    ),
    ("GET", "/groups/<key>"): operation("Show a group", ref("Group"), signed=NIP98),
    ("GET", "/groups/<group_id>/messages"): operation(
        "Fetch a page of a group's log",
        fields({"messages": many(_MESSAGE), "next": maybe(COUNT)}),
        signed=NIP98,
        parameters=(query("after", {"type": "integer", "minimum": 0}, "the index after which the page begins"),),
    ),
    ("GET", "/welcomes/<key>"): at(
        operation("Fetch a Welcome", fields({"event": ref("Event")}), signed=NIP98), key=BASE64URL
    ),
}

_PURPOSE: Final = one_of(*(purpose for purpose in InvitePurpose if purpose is not InvitePurpose.RESUME))

ENROL: Final[Operations] = {
    ("POST", "/"): operation(
        "Join a group, or join it again",
        ref("Joined"),
        takes=fields({"event": ref("Event")}, {"code": TEXT, "group": ID}),
    ),
    ("POST", "/registration"): operation(
        "Register a device, by an invite's code",
        fields({"user": ID, "purpose": _PURPOSE, "totp": maybe(TEXT)}),
        takes=fields(
            {
                "code": TEXT,
                "challenge": BASE64URL,
                "id_token": JWT,
                "device": fields({"kind": TEXT}, {"device_id": TEXT}),
            }
        ),
        signed=NIP98,
    ),
    ("POST", "/registration/confirm"): operation(
        "Confirm a registration by a one-time code",
        fields({"user": ID, "status": one_of(*AdminStatus)}),
        takes=fields({"code": TEXT, "totp": TEXT}),
        signed=NIP98,
    ),
    ("POST", "/approvals"): operation(
        "Approve an invite, or a suspended admin's return",
        fields({"invite": SHA256, "approvals": COUNT, "needed": COUNT}),
        takes=fields({"event": ref("Event")}),
    ),
}

_ID_OR_NONE: Final = {"anyOf": [ID, {"type": "string", "maxLength": 0}, {"type": "null"}]}
_PROOF_REQUEST: Final[Schema] = fields(
    {
        "challenge": BASE64URL,
        "id_token": JWT,
        "device": fields({"kind": TEXT, "device_id": TEXT}),
        "totp": TEXT,
        "request_digest": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    },
    {"mls_group": _ID_OR_NONE, "client_id": _ID_OR_NONE, "action": maybe(TEXT)},
)

ADMIN_PROOF: Final[Operations] = {
    ("POST", "/challenge"): operation(
        "Request a challenge", fields({"challenge": BASE64URL, "expires_at": TIME, "required": FLAG})
    ),
    ("POST", "/proof"): operation(
        "Issue a proof of an admin's identity, device and presence",
        fields({"jwt_proof": JWT, "expires_at": TIME}),
        takes=_PROOF_REQUEST,
        signed=NIP98,
    ),
    ("GET", "/.well-known/jwks.json"): operation("Fetch the keys that proofs verify with", ref("Keys")),
}
