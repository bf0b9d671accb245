"""The operator's routes about clients and their secrets (docs/http.md)."""

from __future__ import annotations

from typing import Final

from keyturn.domain.model import ClientKind, ClientStatus, RetiredBecause, VersionState
from keyturn.entry.openapi.forms import (
    BASE64URL,
    COUNT,
    FLAG,
    ID,
    ROTATION_ID,
    TEXT,
    TIME,
    ULID,
    Schema,
    fields,
    many,
    maybe,
    named,
    one_of,
    ref,
)
from keyturn.entry.openapi.operations import OPERATOR, Operations, operation, query

_POLICY: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["integer", "boolean"]}}
_POLICY_CHANGE: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["integer", "boolean", "null"]}}
_GROUPS: Final[Schema] = {**many(ID), "minItems": 1, "uniqueItems": True}
_TERMS: Final = {
    "audience": maybe(TEXT),
    "scopes": many(TEXT),
    "introspects": many(TEXT),
    "algorithm": maybe(one_of("ES256", "RS256")),
}
_IMPORTED: Final = named({}, "client_id, groups, secret_hash, kind?: each is accepted or refused by itself")
_USE: Final = fields(
    {"version_id": ULID, "uses": COUNT, "uses_last_day": COUNT, "first_at": maybe(TIME), "last_at": maybe(TIME)}
)
_SHARE: Final = maybe({"type": "number", "minimum": 0, "maximum": 1})
_CALLER: Final = fields(
    {
        "caller": named(TEXT, "a keyed hash that identifies no person"),
        "lags": FLAG,
        "old_uses": COUNT,
        "old_last_at": maybe(TIME),
        "new_uses": COUNT,
        "new_last_at": maybe(TIME),
    }
)
CUTOVER: Final = fields(
    {
        "client_id": ID,
        "now": TIME,
        "in_transition": FLAG,
        "rolled_back": FLAG,
        "since": maybe(TIME),
        "not_after": maybe(TIME),
        "old": maybe(_USE),
        "new": maybe(_USE),
        "old_share": _SHARE,
        "old_share_last_day": _SHARE,
        "failures": fields({"count": COUNT, "last_at": maybe(TIME)}),
        "callers": many(_CALLER),
        "telemetry": fields({"complete_since": maybe(TIME), "verifiers": COUNT}),
        "silence": maybe(fields({"because": TEXT, "silent_for_ms": COUNT, "needed_ms": maybe(COUNT)})),
        "forecast": maybe(fields({"known": FLAG, "ends_at": maybe(TIME), "in_time": maybe(FLAG)})),
        "at_risk": FLAG,
        "retire": fields({"proposed": FLAG, "by_policy": FLAG}),
    }
)
_VERSION: Final = fields(
    {
        "client_id": ID,
        "version_id": ULID,
        "rotation_id": TEXT,
        "receipt_key": maybe(BASE64URL),
        "state": one_of(*VersionState),
        "retired_because": maybe(one_of(*RetiredBecause)),
        "created_at": TIME,
        "imported": FLAG,
    }
)

CLIENTS: Final[Operations] = {
    ("POST", "/clients"): operation(
        "Add a client",
        ref("Client"),
        takes=fields({"client_id": ID, "groups": _GROUPS}, {"kind": one_of(*ClientKind), "policy": _POLICY, **_TERMS}),
        signed=OPERATOR,
    ),
    ("GET", "/clients"): operation(
        "List a page of clients",
        fields({"clients": many(ref("ClientLine")), "next": maybe(ID)}),
        signed=OPERATOR,
        parameters=(query("after", ID, "the client after which the page begins"),),
    ),
    ("POST", "/imports"): operation(
        "Import clients with bcrypt hashes, 200 at most",
        fields({"added": many(TEXT), "known": many(TEXT), "refused": many(fields({"index": COUNT, "reason": TEXT}))}),
        takes=fields({"clients": {**many(_IMPORTED), "maxItems": 200}}),
        signed=OPERATOR,
    ),
    ("GET", "/clients/<client_id>"): operation("Show a client", ref("Client"), signed=OPERATOR),
    ("GET", "/clients/<client_id>/cutover"): operation(
        "Show how far a client has moved to its new secret", CUTOVER, signed=OPERATOR
    ),
    ("POST", "/callers"): operation(
        "Show the tag of callers at an address",
        fields({"caller": TEXT}),
        takes=fields({}, {"address": maybe(TEXT), "agent": maybe(TEXT)}),
        signed=OPERATOR,
    ),
    ("POST", "/clients/<client_id>/tokens"): operation(
        "Change the audience and scopes of a client's access tokens",
        ref("Client"),
        takes=fields({}, _TERMS),
        signed=OPERATOR,
    ),
    ("POST", "/clients/<client_id>/access"): operation(
        "Change until when and from where a client's credentials are accepted",
        ref("Client"),
        takes=fields({}, {"valid_until": maybe(TIME), "sources": many(TEXT)}),
        signed=OPERATOR,
    ),
    ("POST", "/clients/<client_id>/policy"): operation(
        "Change a client's policy, null to remove an override",
        ref("Client"),
        takes=fields({"policy": _POLICY_CHANGE}),
        signed=OPERATOR,
    ),
    ("GET", "/versions"): operation(
        "List versions to compare a leaked value with: of a client, of a hint, or a page of all",
        fields({"versions": many(_VERSION), "next": maybe(TEXT)}),
        signed=OPERATOR,
        parameters=(
            query("client_id", ID, "of this client"),
            query("hint", {"type": "string", "pattern": "^[A-Za-z0-9]{8}$"}, "of versions with this hint"),
            query("after", TEXT, "`next` of the page before"),
        ),
    ),
    ("POST", "/leak/revoke"): operation(
        "Revoke a leaked version and request its successor, in one commit",
        fields(
            {
                "client_id": ID,
                "version_id": ULID,
                "status": one_of(*ClientStatus),
                "rotation_id": maybe(ROTATION_ID),
                "quorum": maybe(COUNT),
                "refused": maybe(TEXT),
                "effective_within_seconds": COUNT,
            }
        ),
        takes=fields(
            {"client_id": ID, "version_id": ULID, "rotation_id": ROTATION_ID, "sighted_at": TIME},
            {"made_by": maybe(TEXT), "signature": maybe(BASE64URL)},
        ),
        signed=OPERATOR,
    ),
}
