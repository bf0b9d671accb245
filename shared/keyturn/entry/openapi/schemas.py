"""The named schemas, which several functions take and answer (docs/http.md)."""

from __future__ import annotations

from typing import Final

from keyturn.domain.model import ClientKind, ClientStatus, Outcome, Phase, VersionState
from keyturn.entry.openapi.forms import (
    BASE64URL,
    COUNT,
    FLAG,
    ID,
    NPUB,
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

ERRORS = (
    "invalid_request",
    "unauthorized_request",
    "not_found",
    "conflict",
    "policy_violation",
    "rate_limited",
    "internal_error",
    "unavailable",
)

_REQUESTER: Final = fields({"user": TEXT, "npub": {**TEXT, "pattern": "^([0-9a-f]{64})?$"}})  # none: the operator
_MEMBER: Final = fields(
    {
        "user": ID,
        "npub": NPUB,
        "leaf": maybe(COUNT),
        "joined_at": TIME,
        "updated_at": TIME,
        "seen_at": maybe(TIME),
    }
)
_VERSION: Final = fields(
    {
        "version_id": ULID,
        "state": one_of(*VersionState),
        "not_before": TIME,
        "not_after": maybe(TIME),
        "created_at": TIME,
        "rotated_by": TEXT,
        "rotation_id": TEXT,
    }
)
_CLIENT_LINE: Final = {
    "client_id": ID,
    "kind": one_of(*ClientKind),
    "status": one_of(*ClientStatus),
    "groups": many(ID),
    "current_version": maybe(ULID),
    "previous_version": maybe(ULID),
    "active_rotation": maybe(ROTATION_ID),
}
_POLICY: Final = fields(
    {
        "grace_seconds": COUNT,
        "minimum_not_before_seconds": COUNT,
        "minimum_interval_seconds": COUNT,
        "last_promoted_at": maybe(TIME),
        "require_ack_proofs": FLAG,
        "canaries": COUNT,
        "access_token_seconds": COUNT,
        "own": {"type": "object", "description": "the client's own values, which replace the deployment's"},
    }
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": fields(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "error": one_of(*ERRORS),
            "reason": named(TEXT, "a stable code"),
            "detail": named(TEXT, "a sentence for people, which repeats nothing of the request"),
        }
    ),
    "OAuthError": fields({"error": TEXT, "error_description": TEXT}),
    "Event": named(
        fields(
            {
                "id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "pubkey": NPUB,
                "created_at": named(COUNT, "Unix seconds"),
                "kind": {"type": "integer", "minimum": 0, "maximum": 65535},
                "tags": many(many(TEXT)),
                "content": TEXT,
                "sig": {"type": "string", "pattern": "^[0-9a-f]{128}$"},
            }
        ),
        "a signed Nostr event (NIP-01)",
    ),
    "Keys": named(fields({"keys": many({"type": "object"})}), "a JWK Set (RFC 7517 §5)"),
    "ClientLine": fields(_CLIENT_LINE),
    "Client": fields(
        {
            **_CLIENT_LINE,
            "quorum": COUNT,
            "versions": many(_VERSION),
            "last_rotation": maybe(ROTATION_ID),
            "tokens": fields(
                {
                    "audience": maybe(TEXT),
                    "scopes": many(TEXT),
                    "introspects": many(TEXT),
                    "algorithm": maybe(one_of("ES256", "RS256")),
                }
            ),
            "valid_until": maybe(TIME),
            "sources": many(TEXT),
            "now": TIME,
            "stopped": FLAG,
            "policy": _POLICY,
        }
    ),
    "Group": fields({"group_id": ID, "epoch": COUNT, "members": many(_MEMBER), "absent": many(_MEMBER)}),
    "Rotation": fields(
        {
            "rotation_id": ROTATION_ID,
            "client_id": ID,
            "phase": one_of(*Phase),
            "outcome": maybe(one_of(*Outcome)),
            "reason": TEXT,
            "requested_by": _REQUESTER,
            "group": ID,
            "new_version": ULID,
            "old_version": maybe(ULID),
            "not_before": TIME,
            "grace_duration_ms": COUNT,
            "grace_until": TIME,
            "created_at": TIME,
            "distributed_at": maybe(TIME),
            "ack_deadline": maybe(TIME),
            "acknowledged_at": maybe(TIME),
            "completed_at": maybe(TIME),
            "quorum": COUNT,
            "canaries": COUNT,
            "canaries_required": COUNT,
            "canaried_at": maybe(TIME),
            "acks": many(fields({"user": ID, "npub": NPUB, "ack_at": TIME, "receipt": maybe(BASE64URL)})),
            "recipients": many(fields({"user": ID, "npub": NPUB, "group": ID, "epoch": COUNT})),
            "emergency": FLAG,
        }
    ),
    "RotationAnswer": fields(
        {
            "rotation_id": ROTATION_ID,
            "client_id": ID,
            "version_id": ULID,
            "not_before": TIME,
            "grace_until": TIME,
            "quorum": COUNT,
        }
    ),
    "AckAnswer": fields(
        {
            "rotation_id": ROTATION_ID,
            "client_id": ID,
            "version_id": ULID,
            "acks": COUNT,
            "quorum": COUNT,
            "phase": one_of(*Phase),
            "outcome": maybe(one_of(*Outcome)),
        }
    ),
    "CommandAnswer": fields(
        {
            "client_id": ID,
            "action": TEXT,
            "status": one_of(*ClientStatus),
            "current_version": maybe(ULID),
            "previous_version": maybe(ULID),
            "awaits_second_person": FLAG,
            "effective_within_seconds": COUNT,
        }
    ),
    "KeysReplacedAnswer": fields({"group_id": ID, "epoch": COUNT, "index": COUNT}),
    "Joined": fields({"user": ID, "group": ID, "event": ref("Event")}),
    "Removed": fields({"devices": many(NPUB), "canceled": many(ROTATION_ID), "received": many(ID)}),
}
"""By name. `forms.ref` refers to them."""
