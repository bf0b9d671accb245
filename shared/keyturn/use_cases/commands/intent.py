"""An intent: the command of an event, the same for each kind of event that can express it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyturn.domain.request_fields import Fields

ACK = "ack"
ROTATIONS = frozenset({"rotation", "emergency"})
"""Actions that open a rotation: their id is the rotation's."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A parsed event. `target` is the rotation or action id, `params` are the fields that the action reads."""

    action: str
    client_id: str
    group: str
    target: str
    reason: str
    params: Fields
    proof: str
    digest: str

    @property
    def rotation_id(self) -> str | None:
        """The id of the rotation that this intent concerns, or None if its action concerns none."""
        return self.target if self.action in ROTATIONS or self.action == ACK else None
