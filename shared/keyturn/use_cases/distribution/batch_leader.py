"""Batches: rotations that wait for distribution, and which of several workers distributes those of a group.

The notices of one group are sent together: one path update, then all waiting rotations, in one commit. Two workers that
did this at once would only discard each other's work. So the message of the *oldest* waiting rotation leads. The others
wait until their rotation was distributed by the leader, or until the leader has taken so long that the next one takes
over. Nothing is locked: two leaders at once only lose a race.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.ports.store import Query
from keyturn.records import paths
from keyturn.records.client_document import group_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.domain.model import Rotation
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Store

BATCH = 100
"""How many rotations one commit can send at most, at 5 writes each (`MAX_WRITES` in ports/store.py)."""
LAST_TURN = 50
"""The place in turn of every rotation that waits behind so many others."""
POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.25
PATIENCE_SECONDS = 2.0
"""How long the leader can make no progress before another worker takes over."""
STAGGER_SECONDS = 0.3
"""How much longer each following worker waits: if all took over at once, they would only race."""


@dataclass(frozen=True, slots=True)
class WaitingRotation:
    """A rotation that waits for distribution, as the index returns it."""

    rotation_id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class BatchLeader:
    """Elects the worker that distributes the waiting rotations of a group."""

    store: Store
    environment: Environment
    can_lead: Callable[[str], bool]
    """Whether the rotation of a client can be distributed at all. One that cannot would make all others wait."""

    def batch(self, rotation: Rotation) -> Sequence[WaitingRotation]:
        """Return the oldest waiting rotations of the same groups, at most BATCH; it can include `rotation`."""
        query = Query(
            paths.ROTATIONS,
            order_by="created_at",
            equal=(("waiting_for", group_key(rotation.groups)),),
            limit=BATCH,
        )
        waiting = ((item.id, (item.data or {}).get("client_id")) for item in self.store.query(query))
        # A damaged rotation names no client. It waits for nothing, and expires.
        return [WaitingRotation(rotation_id, client_id) for rotation_id, client_id in waiting if _is_id(client_id)]

    def lead(self, rotation: Rotation) -> Sequence[WaitingRotation]:
        """Wait for this rotation's turn, and return the batch to distribute, including it.

        Empty if another worker has distributed this rotation meanwhile.
        """
        own, oldest = WaitingRotation(rotation.rotation_id, rotation.client_id), None
        elapsed, pause = 0.0, POLL_SECONDS
        leaders: dict[WaitingRotation, bool] = {own: True}
        while True:
            batch = self._led(self.batch(rotation), leaders)
            if batch[:1] != oldest:  # the leader makes progress: wait from the start again
                elapsed, oldest = 0.0, batch[:1]
            if elapsed >= _turn(own, batch):
                return batch if own in batch else [own, *batch[: BATCH - 1]]
            self.environment.sleep(pause)
            elapsed, pause = elapsed + pause, min(LONGEST_POLL_SECONDS, pause * 1.5)
            if not self._is_waiting(rotation):
                return []

    def _led(self, batch: Sequence[WaitingRotation], leaders: dict[WaitingRotation, bool]) -> Sequence[WaitingRotation]:
        """Return a batch from its first rotation that can lead. `leaders` remembers which can: each is read once."""
        for place, item in enumerate(batch):
            if item not in leaders:
                leaders[item] = self.can_lead(item.client_id)
            if leaders[item]:
                return batch[place:]
        return []

    def _is_waiting(self, rotation: Rotation) -> bool:
        path = paths.rotation(rotation.rotation_id)
        data = self.store.get([path])[path].data
        return data is not None and data.get("waiting_for") is not None


def _is_id(value: object) -> TypeGuard[str]:
    try:
        return isinstance(value, str) and identifier(value) == value
    except InvalidRequest:
        return False


def _turn(own: WaitingRotation, batch: Sequence[WaitingRotation]) -> float:
    """Return after how many seconds without progress a worker takes over: 0 for the oldest, longer for later ones."""
    if not batch or own == batch[0]:
        return 0.0
    # A rotation that the query did not return (the batch is full) is the last in turn.
    place = batch.index(own) if own in batch else LAST_TURN
    return PATIENCE_SECONDS + min(place, LAST_TURN) * STAGGER_SECONDS
