"""The operator's door, and those that only the suite itself calls, route by route (docs/http.md)."""

from __future__ import annotations

from typing import Final

from shared.domain.model import ClientKind
from shared.entry.openapi.forms import COUNT, ID, OPEN, TEXT, TIME, Schema, fields, many, maybe, one_of, ref
from shared.entry.openapi.operations import OPERATOR as SIGNED
from shared.entry.openapi.operations import Operations, operation, query

_CLIENT: Final[Schema] = fields(
    {"client_id": ID, "groups": {**many(ID), "minItems": 1, "uniqueItems": True}},
    {
        "kind": one_of(*ClientKind),
        "policy": {"type": "object", "additionalProperties": {"type": ["integer", "boolean"]}},
    },
)

OPERATOR: Final[Operations] = {
    ("POST", "/clients"): operation("Add a client", ref("Client"), takes=_CLIENT, signed=SIGNED),
    ("GET", "/clients"): operation(
        "List a page of clients",
        fields({"clients": many(ref("ClientLine")), "next": maybe(ID)}),
        signed=SIGNED,
        given=(query("after", ID, "the client after which the page begins"),),
    ),
    ("GET", "/clients/<client_id>"): operation("Show a client", ref("Client"), signed=SIGNED),
    ("POST", "/groups"): operation("Create a group", ref("Group"), takes=fields({"group_id": ID}), signed=SIGNED),
    ("GET", "/groups/<group_id>"): operation("Show a group", ref("Group"), signed=SIGNED),
    ("POST", "/groups/<group_id>/remove"): operation(
        "Remove a person from a group", ref("Removed"), takes=fields({"user": ID}), signed=SIGNED
    ),
    ("POST", "/invites"): operation(
        "Make an invite",
        fields({"code": TEXT, "user": ID, "group_id": ID, "expires_at": TIME}),
        takes=fields({"user": ID, "group_id": ID}),
        signed=SIGNED,
    ),
}

GRACE_SWEEPER: Final[Operations] = {
    ("POST", "/"): operation(
        "Sweep once", fields({"settled": COUNT, "republished": COUNT, "failed": COUNT}), signed=SIGNED
    ),
}
ON_SECRET_VERSION: Final[Operations] = {
    ("POST", "/"): operation("Take a CloudEvent of the store; what is none is dropped", OPEN, signed=SIGNED),
}
DISTRIBUTE: Final[Operations] = {
    ("POST", "/"): operation("Take a published message; what is none is dropped", OPEN, signed=SIGNED),
}
