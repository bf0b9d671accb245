"""A client's document: the client, and in `live` all that a verifier needs to see of its versions in one read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from keyturn.domain import lifecycle
from keyturn.domain.encodings import due_shard
from keyturn.domain.model import Client, ClientState, Phase, Rotation, Version
from keyturn.domain.secret_format import version_hint
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.domain.policy import Policy
    from keyturn.ports.store import Data, Value


CHANGED_AT: Final = "changed_at"
"""The field of a client that the store stamps with each commit's own time: what tells verifiers what changed."""


def client_data(state: ClientState, policy: Policy) -> dict[str, Value]:
    """Return a client's whole document, with what a verifier and the sweeper need to see in it."""
    return {
        **to_data(state.client),
        "live": live_data(state),
        "next_due_at": lifecycle.next_due_at(state, policy),
        "due_shard": due_shard(state.client.client_id),
        CHANGED_AT: state.client.updated_at,
    }


def rotation_data(rotation: Rotation) -> dict[str, Value]:
    """Return a rotation's whole document; `waiting_for` says in whose log its notice is still to come, else None.

    By `hint` a scannable secret that was sighted finds its version.
    """
    waiting = rotation.phase is Phase.REQUESTED
    waiting_for = group_key(rotation.groups) if waiting else None
    return {**to_data(rotation), "waiting_for": waiting_for, "hint": version_hint(rotation.new_version)}


def group_key(groups: Iterable[str]) -> str:
    """Return what rotations that are sent together have in common: their groups (no id has a plus sign)."""
    return "+".join(sorted(groups))


def live_data(state: ClientState) -> dict[str, Value]:
    """Return what a verifier needs in one read: the three versions; and two rotations, without their people."""
    rotations = {"rotation": state.rotation, "last": state.last}
    versions = {"current": state.current, "previous": state.previous, "pending": state.pending}
    return {
        **{name: to_data(version) if version else None for name, version in versions.items()},
        **{name: to_data(replace(item, recipients=(), acks=())) if item else None for name, item in rotations.items()},
    }


def embedded_state(data: Data) -> ClientState | None:
    """Return a client's state without the people of its rotations; None for a document that does not tell `last`."""
    state, client = live_state(data), from_data(Client, data)
    last = cast("Mapping[str, Data | None]", data["live"]).get("last")
    if client.last_rotation is not None and last is None:
        return None
    told = replace(state, client=client)
    return told.with_rotation(from_data(Rotation, last)) if last else told


def live_state(data: Data) -> ClientState:
    """Return the state that a client's document alone tells: enough for `settle`, with no people in it."""
    live = cast("Mapping[str, Data | None]", data["live"])
    versions = [from_data(Version, found) for name in ("current", "previous", "pending") if (found := live[name])]
    rotations = [from_data(Rotation, found)] if (found := live["rotation"]) else []
    return ClientState(
        replace(from_data(Client, data), last_rotation=None),
        {version.version_id: version for version in versions},
        {rotation.rotation_id: rotation for rotation in rotations},
    )
