"""Whether an acknowledgement of this device counts already, by the rotation as the server shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.device.api import response_fields as answers
from keyturn.device.core.format_keys import key

if TYPE_CHECKING:
    from collections.abc import Mapping

MAY_HAVE_COUNTED = frozenset({"already_acknowledged", "rotation_not_open"})
"""Reasons of refusal that an acknowledgement gets, too, after the same one was taken and its answer lost."""


def counted_ack(rotation: Mapping[str, object], npub: str) -> dict[str, object] | None:
    """Return what the acknowledgement of a key came to, as its answer would say; None if the rotation has none of it.

    `UnreachableError` for a rotation that is not as docs/http.md says.
    """
    acks = answers.mappings(rotation, "acks")
    if npub not in {key(ack.get("npub")) for ack in acks}:
        return None
    same = {name: rotation.get(name) for name in ("rotation_id", "client_id", "phase", "outcome")}
    quorum = answers.integer(rotation, "quorum")
    return {**same, "version_id": rotation.get("new_version"), "acks": len(acks), "quorum": quorum}
