"""A client's document: the client's fields, and in `live` everything that a verifier needs (docs/protocol.md §3).

One read of this document is enough to check a credential.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keyturn.domain import lifecycle
from keyturn.domain.encodings import due_shard
from keyturn.domain.model import Client, ClientState, Phase, Rotation, Version
from keyturn.domain.secret_format import version_hint
from keyturn.ports.store import mapping
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.domain.policy import Policy
    from keyturn.ports.store import Data, Value


CHANGED_AT: Final = "changed_at"
"""The field that the store sets to the time of the commit. Verifiers poll for changes by it (docs/protocol.md §10)."""


def client_data(state: ClientState, policy: Policy) -> dict[str, Value]:
    """Return a client's whole document, with the fields for verifiers and for the sweeper."""
    return {
        **to_data(state.client),
        "live": live_data(state),
        "next_due_at": lifecycle.next_due_at(state, policy),
        "due_shard": due_shard(state.client.client_id),
        CHANGED_AT: state.client.updated_at,
    }


def rotation_data(rotation: Rotation) -> dict[str, Value]:
    """Return a rotation's whole document.

    `waiting_for` names the groups that still have to get the notice, and is None once it was sent. `hint` is the end of
    the version id, which a scannable secret contains: a leaked secret is looked up by it.
    """
    waiting_for = group_key(rotation.groups) if rotation.phase is Phase.REQUESTED else None
    return {**to_data(rotation), "waiting_for": waiting_for, "hint": version_hint(rotation.new_version)}


def group_key(groups: Iterable[str]) -> str:
    """Return one text for a set of groups: notices for the same groups are sent in one batch."""
    return "+".join(sorted(groups))  # unambiguous: no group id has a plus sign


def live_data(state: ClientState) -> dict[str, Value]:
    """Return the map `live`: three versions and two rotations. The rotations lack recipients and acknowledgements."""
    rotations = {"rotation": state.rotation, "last": state.last}
    versions = {"current": state.current, "previous": state.previous, "pending": state.pending}
    # Verifiers need no people. Without them the document stays small, however many devices a group has.
    return {
        **{name: to_data(version) if version else None for name, version in versions.items()},
        **{name: to_data(replace(item, recipients=(), acks=())) if item else None for name, item in rotations.items()},
    }


def embedded_state(data: Data) -> ClientState | None:
    """Return the state that a client's document contains, including the last rotation.

    Rotations lack recipients and acknowledgements. None for a document from before `live` had the field `last`.
    """
    state, client = live_state(data), from_data(Client, data)
    last = mapping(data, "live").get("last")
    if client.last_rotation is not None and last is None:
        return None
    state = replace(state, client=client)
    return state.with_rotation(from_data(Rotation, mapping(mapping(data, "live"), "last"))) if last else state


def live_state(data: Data) -> ClientState:
    """Return the state from `live` without the last rotation. This is enough for `lifecycle.settle`."""
    live = mapping(data, "live")
    names = [name for name in ("current", "previous", "pending") if live[name]]
    versions = [from_data(Version, mapping(live, name)) for name in names]
    rotations = [from_data(Rotation, mapping(live, "rotation"))] if live["rotation"] else []
    return ClientState(
        replace(from_data(Client, data), last_rotation=None),
        {version.version_id: version for version in versions},
        {rotation.rotation_id: rotation for rotation in rotations},
    )
