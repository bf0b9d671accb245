"""Recognition: whether this release knows everything that a decision about a client rests on (docs/protocol.md §4).

During an update another release may have written a policy, status, phase or kind that this release does not know, and
a document can be damaged. Nothing is granted then: no request, distribution, acknowledgement or promotion. Whatever
takes a right away, and a rollback to a version that still verifies, works as always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict
from keyturn.domain.policy import unrecognised_names
from keyturn.domain.record import is_recognised

if TYPE_CHECKING:
    from keyturn.domain.model import ClientState, Rotation


def may_grant(state: ClientState) -> bool:
    """Return whether this release knows the client's kind, status and policy, and its active rotation."""
    client, rotation = state.client, state.rotation
    if client.unread and client.damaged:
        return False
    if not (is_recognised(client.kind) and is_recognised(client.status)) or unrecognised_names(client.policy):
        return False
    return rotation is None or knows_rotation(state, rotation)


def require_known(state: ClientState) -> None:
    """Refuse (`Conflict`) to grant anything to a client that this release does not know entirely."""
    if not may_grant(state):
        raise newer_release()


def newer_release() -> Conflict:
    """Return the refusal of a decision that a newer release has to take."""
    return Conflict("newer_release", "A newer release wrote this client, or its documents are damaged.")


def knows_rotation(state: ClientState, rotation: Rotation) -> bool:
    """Return whether this release knows the phase of the active rotation, and can read it and its version."""
    return is_recognised(rotation.phase) and not is_rotation_damaged(state, rotation)


def is_rotation_damaged(state: ClientState, rotation: Rotation) -> bool:
    """Return whether no release can read the active rotation or its version, so that none promotes it."""
    pending = state.pending
    return bool(rotation.damaged) or pending is None or bool(pending.damaged) or not is_recognised(pending.state)
