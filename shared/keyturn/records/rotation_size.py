"""How large a rotation's document may grow: it lists recipients and acknowledgements of all groups of its client.

The rest of a Firestore document stays free for the fields that come later. Without that room, a full document would
refuse every later change of the rotation, and with it `suspend` and `cancel` of its client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.ports.store import Create, write_bytes
from keyturn.records import paths
from keyturn.records.client_document import rotation_data

if TYPE_CHECKING:
    from keyturn.domain.model import ClientState

LARGEST_BYTES = 900 * 1024
"""Up to this size a rotation takes recipients and acknowledgements."""


def fits(state: ClientState, rotation_id: str) -> bool:
    """Return whether a rotation is small enough to be stored with the recipients and acknowledgements it has now."""
    rotation = state.rotations.get(rotation_id)
    if rotation is None:
        return True
    return write_bytes(Create(paths.rotation(rotation_id), rotation_data(rotation))) <= LARGEST_BYTES
