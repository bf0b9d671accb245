"""The indexes that queries use: declared once, and built by every store (in Firestore by firestore.indexes.json)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Index:
    """One composite index: equalities first, then the ordered field."""

    collection: str
    equal: tuple[str, ...]
    order_by: str


DUE_CLIENTS = Index("oauth2_clients", ("due_shard",), "next_due_at")
CLIENTS_BY_CHANGE = Index("oauth2_clients", ("due_shard",), "changed_at")
CLIENTS_BY_ID = Index("oauth2_clients", (), "client_id")
CLIENTS_BY_END = Index("oauth2_clients", (), "valid_until")
GROUP_MESSAGES = Index("mls_groups/{group}/messages", (), "index")
AUDIT_BY_SEQ = Index("oauth2_clients/{client}/audit", (), "seq")
SYSTEM_AUDIT_BY_SEQ = Index("audit_heads/{chain}/audit", (), "seq")

VERSIONS_BY_ID = Index("oauth2_clients/{client}/secrets", (), "version_id")
ROTATIONS_OF_CLIENT = Index("oauth2_rotations", ("client_id",), "rotation_id")
ROTATIONS_BY_HINT = Index("oauth2_rotations", (), "hint")
ROTATIONS_WAITING = Index("oauth2_rotations", ("waiting_for",), "created_at")
KEY_PACKAGES_BY_GROUP = Index("key_packages", (), "group_id")
WELCOMES_BY_GROUP = Index("welcomes", (), "group_id")
CLIENTS_OF_GROUP = Index("mls_groups/{group}/clients", (), "client_id")
MAINTENANCE_BY_TIME = Index("group_upkeep", (), "due_at")
RELAY_POSTS_BY_TIME = Index("relay_outbox", (), "due_at")
INVITES_BY_END = Index("invites", (), "expires_at")

ANSWERS_BY_END = Index("events", (), "expires_at")
RATES_BY_END = Index("rates", (), "expires_at")
PROOFS_BY_END = Index("proofs", (), "expires_at")
CHALLENGES_BY_END = Index("challenges", (), "expires_at")
REFUSALS_BY_END = Index("refusals", (), "expires_at")
USES_BY_END = Index("version_usage", (), "expires_at")
FAILURES_BY_END = Index("client_failures", (), "expires_at")
VERIFIERS_BY_END = Index("verifiers", (), "expires_at")
RETIRED_USES_BY_END = Index("honeytokens", (), "expires_at")
ROTATIONS_BY_END = Index("oauth2_rotations", (), "expires_at")
CANARIES_BY_END = Index("canaries", (), "expires_at")
REVOKED_TOKENS_BY_END = Index("revoked_tokens", (), "expires_at")

INDEXES = (
    DUE_CLIENTS,
    CLIENTS_BY_CHANGE,
    CLIENTS_BY_ID,
    CLIENTS_BY_END,
    GROUP_MESSAGES,
    AUDIT_BY_SEQ,
    SYSTEM_AUDIT_BY_SEQ,
    VERSIONS_BY_ID,
    ROTATIONS_OF_CLIENT,
    ROTATIONS_BY_HINT,
    ROTATIONS_WAITING,
    KEY_PACKAGES_BY_GROUP,
    WELCOMES_BY_GROUP,
    CLIENTS_OF_GROUP,
    MAINTENANCE_BY_TIME,
    RELAY_POSTS_BY_TIME,
    INVITES_BY_END,
    ANSWERS_BY_END,
    RATES_BY_END,
    PROOFS_BY_END,
    CHALLENGES_BY_END,
    REFUSALS_BY_END,
    USES_BY_END,
    FAILURES_BY_END,
    VERIFIERS_BY_END,
    RETIRED_USES_BY_END,
    ROTATIONS_BY_END,
    CANARIES_BY_END,
    REVOKED_TOKENS_BY_END,
)
"""A `{name}` in a collection stands for any id: the index covers the collections of all parents."""
