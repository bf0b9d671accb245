"""Views: what doors show of entities (docs/http.md); times as integer milliseconds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from keyturn.domain.encodings import to_milliseconds
from keyturn.records.codec import to_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.domain.model import Client, ClientState, Rotation, Version
    from keyturn.ports.store import Data, Value
    from keyturn.records.roster import Roster, RosterMember
    from keyturn.use_cases.status_queries import ClientView
    from keyturn.verifier.verifier import Verdict

_ROTATION_HIDES = {"mls_group", "groups", "request_digest", "distribution_message_id"}


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a stored value as JSON has it: times as integer milliseconds."""
    if isinstance(value, datetime):
        return to_milliseconds(value)
    if hasattr(value, "items"):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def rotation_view(rotation: Rotation) -> Mapping[str, Any]:
    """Return a rotation."""
    shown = {name: value for name, value in to_data(rotation).items() if name not in _ROTATION_HIDES}
    return {**plain(shown), "group": rotation.mls_group}


def client_line(client: Client) -> Mapping[str, Any]:
    """Return a client as it stands in a list."""
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
    """Return a client with its versions and what its policy says about its next rotation."""
    state, policy = view.state, view.reading.policy
    return {
        **client_line(state.client),
        "quorum": policy.quorum,
        "versions": [_version_view(version) for version in _shown(state)],
        "last_rotation": state.client.last_rotation,
        "tokens": to_data(state.client.tokens),
        "now": to_milliseconds(view.reading.now),
        "stopped": view.stopped,
        "policy": {
            "grace_seconds": policy.grace_seconds,
            "minimum_not_before_seconds": policy.minimum_not_before_seconds,
            "minimum_interval_seconds": policy.minimum_interval_seconds,
            "last_promoted_at": plain(state.client.last_promoted_at),
            "require_ack_proofs": policy.require_ack_proofs,
            "canaries": policy.canaries,
            "own": plain(state.client.policy),
        },
    }


def _shown(state: ClientState) -> list[Version]:
    return [version for version in (state.current, state.previous, state.pending) if version]


def _version_view(version: Version) -> Mapping[str, Any]:
    names = ("version_id", "state", "not_before", "not_after", "created_at", "rotated_by", "rotation_id")
    return {name: plain(getattr(version, name)) for name in names}


def messages_view(messages: list[Data], page: int) -> Mapping[str, Any]:
    """Return a page of a group's log."""
    shown = [_message_view(item) for item in messages]
    return {"messages": shown, "next": shown[-1]["index"] if len(shown) == page else None}


def _message_view(message: Data) -> Mapping[str, Any]:
    events = {name: event_view(message[name]) for name in ("event", "joined") if message.get(name)}
    return {"index": message["index"], "kind": message["kind"], **events}


def event_view(event: Value) -> Mapping[str, Any]:
    """Return a stored Nostr event as the object that it is."""
    shown: Mapping[str, Any] = json.loads(cast("str", event))
    return shown


def group_view(roster: Roster, epoch: int, seen: Mapping[str, datetime]) -> Mapping[str, Any]:
    """Return a group; `updated_at` is when a leaf's keys were last replaced, `seen_at` known to the hour."""
    members = [_member_view(member, seen) for member in roster.members]
    absent = [_member_view(member, seen) for member in roster.absent]
    return {"group_id": roster.group_id, "epoch": epoch, "members": members, "absent": absent}


def _member_view(member: RosterMember, seen: Mapping[str, datetime]) -> Mapping[str, Any]:
    shown = {name: plain(getattr(member, name)) for name in ("user", "npub", "leaf", "joined_at")}
    return {
        **shown,
        "updated_at": plain(member.updated_at or member.joined_at),
        "seen_at": plain(seen.get(member.npub)),
    }


def verdict_view(verdict: Verdict) -> Mapping[str, Any]:
    """Return a verdict; a refusal says nothing else."""
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
