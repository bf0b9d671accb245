"""A client's document: the client's fields, and in `live` everything that a verifier needs (docs/protocol.md §3).

One read of this document is enough to check a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from keyturn.domain import lifecycle
from keyturn.domain.encodings import due_shard
from keyturn.domain.errors import Broken
from keyturn.domain.model import Client, ClientState, Phase, Rotation, Version
from keyturn.domain.secret_format import version_hint
from keyturn.records.codec import salvage, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.domain.policy import Policy
    from keyturn.ports.store import Data, Value

_T = TypeVar("_T", Version, Rotation)

VERIFIED_BY: Final = frozenset({"client_id", "status", "current_version", "previous_version"})
"""The fields of a client that a check depends on, besides those two versions (docs/protocol.md §10)."""
_ID_NAMES: Final[Mapping[type, str]] = {Version: "version_id", Rotation: "rotation_id"}
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


def read_client(data: Data) -> Client:
    """Return the client that its document holds, with stand-ins for damage elsewhere than in VERIFIED_BY.

    Raise `Broken` for damage there: it says which secrets verify.
    """
    client = salvage(Client, data)
    if client.damaged & VERIFIED_BY:
        raise Broken("a client's document does not say which versions verify")
    return client


def embedded_state(data: Data) -> ClientState | None:
    """Return the state that a client's document contains, including the last rotation.

    Rotations lack recipients and acknowledgements. None for a document from before `live` had the field `last`, and
    for a damaged one: the separate documents may hold what is damaged here.
    """
    state = live_state(data)
    client = read_client(data)
    if client.damaged or any(item.damaged for item in (*state.versions.values(), *state.rotations.values())):
        return None
    state = replace(state, client=client)
    if client.last_rotation is None:
        return state
    last = read_part(Rotation, _live(data).get("last"), client.last_rotation)
    return None if last.damaged else state.with_rotation(last)


def live_state(data: Data) -> ClientState:
    """Return the state from `live` without the last rotation. This is enough for `lifecycle.settle`.

    A damaged version or rotation has stand-ins there. It neither verifies nor is promoted.
    """
    client, live = replace(read_client(data), last_rotation=None), _live(data)
    state = ClientState(client)
    for name, version_id in (("current", client.current_version), ("previous", client.previous_version)):
        if version_id is not None:
            state = state.with_versions(read_part(Version, live.get(name), version_id))
    if client.active_rotation is not None:
        rotation = read_part(Rotation, live.get("rotation"), client.active_rotation)
        state = state.with_rotation(rotation)
        state = state.with_versions(read_part(Version, live.get("pending"), rotation.new_version))
    return state


def with_stand_ins(state: ClientState) -> ClientState:
    """Return a state with a stand-in for each version and rotation that its client names and that was not found."""
    client = state.client
    for rotation_id in (client.active_rotation, client.last_rotation):
        if rotation_id is not None and rotation_id not in state.rotations:
            state = state.with_rotation(read_part(Rotation, None, rotation_id))
    pending = state.rotation.new_version if state.rotation else None
    for version_id in (client.current_version, client.previous_version, pending):
        if version_id is not None and version_id not in state.versions:
            state = state.with_versions(read_part(Version, None, version_id))
    return state


def read_part(kind: type[_T], data: Value, part_id: str) -> _T:
    """Return the version or rotation with this id from `data`, or a stand-in for it if `data` holds another entity."""
    part = salvage(kind, data if isinstance(data, Mapping) else {})
    if getattr(part, _ID_NAMES[kind]) == part_id:
        return part
    named: dict[str, Any] = {_ID_NAMES[kind]: part_id}
    return replace(salvage(kind, {}), **named)


def is_stand_in(part: Version | Rotation) -> bool:
    """Return whether a version or rotation stands in for one that was not found: it must not be written."""
    return _ID_NAMES[type(part)] in part.damaged


def _live(data: Data) -> Data:
    live = data.get("live")
    return live if isinstance(live, Mapping) else {}
