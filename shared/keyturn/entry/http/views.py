"""Views: the JSON form of entities in responses (docs/http.md), with times as integer milliseconds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keyturn.domain.encodings import to_milliseconds
from keyturn.records.codec import known_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.domain.model import Client, ClientState, Rotation, Version
    from keyturn.ports.store import Data, Value
    from keyturn.records.roster import Roster, RosterMember
    from keyturn.use_cases.status_queries import ClientView
    from keyturn.verifier.verdict import Verdict

# Internal bookkeeping, and `mls_group`, which responses name `group`.
_HIDDEN_ROTATION_FIELDS = {"mls_group", "groups", "request_digest", "distribution_message_id"}


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a stored value as JSON has it: times as integer milliseconds."""
    if isinstance(value, datetime):
        return to_milliseconds(value)
    if hasattr(value, "items"):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def rotation_view(rotation: Rotation) -> Mapping[str, Any]:
    """Return a rotation."""
    fields = {name: value for name, value in known_data(rotation).items() if name not in _HIDDEN_ROTATION_FIELDS}
    return {**plain(fields), "group": rotation.mls_group}


def client_line(client: Client) -> Mapping[str, Any]:
    """Return a client as a list shows it."""
    return {
        "client_id": client.client_id,
        "kind": client.kind.value,
        "status": client.status.value,
        "groups": list(client.admin_groups),
        "current_version": client.current_version,
        "previous_version": client.previous_version,
        "active_rotation": client.active_rotation,
    }


def client_view(view: ClientView) -> Mapping[str, Any]:
    """Return a client with its versions and its policy for the next rotation."""
    state, policy = view.state, view.reading.policy
    return {
        **client_line(state.client),
        "quorum": policy.quorum,
        "versions": [_version_view(version) for version in _live_versions(state)],
        "last_rotation": state.client.last_rotation,
        "tokens": known_data(state.client.tokens),
        "valid_until": plain(state.client.valid_until),
        "sources": list(state.client.sources),
        "now": to_milliseconds(view.reading.now),
        "stopped": view.stopped,
        "policy": {
            "grace_seconds": policy.grace_seconds,
            "minimum_not_before_seconds": policy.minimum_not_before_seconds,
            "minimum_interval_seconds": policy.minimum_interval_seconds,
            "last_promoted_at": plain(state.client.last_promoted_at),
            "require_ack_proofs": policy.require_ack_proofs,
            "canaries": policy.canaries,
            "access_token_seconds": policy.access_token_seconds,
            "own": plain(state.client.policy),
        },
    }


def _live_versions(state: ClientState) -> list[Version]:
    return [version for version in (state.current, state.previous, state.pending) if version]


def _version_view(version: Version) -> Mapping[str, Any]:
    names = ("version_id", "state", "not_before", "not_after", "created_at", "rotated_by", "rotation_id")
    return {name: plain(getattr(version, name)) for name in names}


def messages_view(messages: list[Data], page: int) -> Mapping[str, Any]:
    """Return a page of a group's log."""
    views = [_message_view(item) for item in messages]
    return {"messages": views, "next": views[-1]["index"] if len(views) == page else None}


def _message_view(message: Data) -> Mapping[str, Any]:
    events = {name: event_view(message[name]) for name in ("event", "joined") if message.get(name)}
    return {"index": message["index"], "kind": message["kind"], **events}


def event_view(event: Value) -> Mapping[str, Any]:
    """Return a stored Nostr event as an object: it is stored as the JSON text that its signer sent."""
    fields: Mapping[str, Any] = json.loads(str(event))
    return fields


def group_view(roster: Roster, epoch: int, seen_at: Mapping[str, datetime]) -> Mapping[str, Any]:
    """Return a group. `updated_at` is when a leaf's keys were last replaced, `seen_at` is accurate to the hour."""
    members = [_member_view(member, seen_at) for member in roster.members]
    absent = [_member_view(member, seen_at) for member in roster.absent]
    return {"group_id": roster.group_id, "epoch": epoch, "members": members, "absent": absent}


def _member_view(member: RosterMember, seen_at: Mapping[str, datetime]) -> Mapping[str, Any]:
    fields = {name: plain(getattr(member, name)) for name in ("user", "npub", "leaf", "joined_at")}
    return {
        **fields,
        "updated_at": plain(member.updated_at or member.joined_at),
        "seen_at": plain(seen_at.get(member.npub)),
    }


def verdict_view(verdict: Verdict) -> Mapping[str, Any]:
    """Return a verdict. A refusal gives no reason: it must not tell a guesser which part was wrong."""
    # Unknown client, wrong secret and suspended client look the same, so that a guesser learns nothing.
    if not verdict.accepted:
        return {"accepted": False, "reason": "refused"}
    return {
        "accepted": True,
        "client_id": verdict.client_id,
        "version_id": verdict.version_id,
        "state": verdict.state,
        "not_after": plain(verdict.not_after),
        "now": to_milliseconds(verdict.now),
    }
