"""Rotations that wait for their notice, and who of several workers sends those of a group.

Notices of one group go out together: one path update, then all that wait, in one commit. Two workers that did it at
once would only throw one another's work away. So the message of the *oldest* waiting rotation leads; the others wait
until theirs was sent along, or until the leader has taken so long that the next had better lead. Nothing is
locked: whoever is wrong about who leads loses a race, no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.ports.store import Query
from keyturn.records import paths
from keyturn.records.client_document import group_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.domain.model import Rotation
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Store

BATCH = 50
POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.25
PATIENCE_SECONDS = 2.0
"""How long the leader may take before somebody else leads."""
STAGGER_SECONDS = 0.3
"""How much later than the one before it each next one loses patience: if all did at once, they would only race."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting rotation, as the index has it."""

    rotation_id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """The waiting rotations of one deployment."""

    store: Store
    environment: Environment

    def batch(self, rotation: Rotation) -> Sequence[Waiting]:
        """Return the oldest waiting rotations of the same groups, at most BATCH; among them `rotation`, if it waits."""
        query = Query(
            paths.ROTATIONS,
            order_by="created_at",
            equal=(("waiting_for", group_key(rotation.groups)),),
            limit=BATCH,
        )
        found = [item.data for item in self.store.query(query) if item.data is not None]
        return [Waiting(cast("str", data["rotation_id"]), cast("str", data["client_id"])) for data in found]

    def led(self, rotation: Rotation) -> Sequence[Waiting]:
        """Return what this rotation's message has to send, itself among it; nothing if somebody else sent it."""
        mine, oldest = Waiting(rotation.rotation_id, rotation.client_id), None
        waited, pause = 0.0, POLL_SECONDS
        while True:
            waiting = self.batch(rotation)
            if waiting[:1] != oldest:  # somebody leads, and gets on with it
                waited, oldest = 0.0, waiting[:1]
            if waited >= _turn(mine, waiting):
                return waiting if mine in waiting else [mine, *waiting[: BATCH - 1]]
            self.environment.sleep(pause)
            waited, pause = waited + pause, min(LONGEST_POLL_SECONDS, pause * 1.5)
            if not self._waits(rotation):
                return []

    def _waits(self, rotation: Rotation) -> bool:
        path = paths.rotation(rotation.rotation_id)
        data = self.store.get([path])[path].data
        return data is not None and data["waiting_for"] is not None


def _turn(mine: Waiting, waiting: Sequence[Waiting]) -> float:
    """Return how many seconds without progress a message waits before it leads: the oldest none, later ones longer."""
    if not waiting or mine == waiting[0]:
        return 0.0
    place = waiting.index(mine) if mine in waiting else BATCH
    return PATIENCE_SECONDS + place * STAGGER_SECONDS
