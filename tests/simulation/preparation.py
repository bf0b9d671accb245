"""Bring a client to where an edge of time is ahead, and a row of the lifecycle table has something to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulation.faults import Armed, Fault
from tests.simulation.rows import prove_canary
from tests.simulation.situations import Edge
from tests.simulation.stage import FRESH

if TYPE_CHECKING:
    from tests.simulation.people import Person
    from tests.simulation.situations import Situation
    from tests.simulation.stage import Stage

NEED_OPEN_ROTATION = frozenset({"Distribute", "Acknowledge", "CountCanaries", "Cancel"})
NEED_GRACE = frozenset({"Rollback", "Restore", "Retire", "RetireSilent"})


@dataclass
class Preparation:
    """The preparation of one client for one situation, by one person."""

    stage: Stage
    cell: Situation
    client_id: str
    person: Person

    def run(self) -> float | None:
        """Prepare the client. Return when the edge is, in true seconds, or None if that did not work."""
        cell = self.cell
        if cell.row == "CountCanaries" or cell.edge is Edge.PROMOTE_DEADLINE:
            self._set_policy(canaries=1)
        self.person.is_busy = True
        try:
            self._prepare()
        finally:
            self.person.is_busy = False
        return self._edges().get(cell.edge)

    def _prepare(self) -> None:
        cell, random = self.cell, self.stage.random
        at_grace = cell.edge is Edge.GRACE_END
        if at_grace or cell.row in NEED_GRACE or random.random() < 0.25:
            days = 5 if at_grace and cell.row == "RetireSilent" else 0 if at_grace else 6
            if not self._put_in_grace(timedelta(days=days, seconds=random.choice((130, 300, 900)))):
                return
        if cell.row == "Restore":
            self.stage.command(self.person, "rollback", self.client_id, {})
        if cell.row == "Resume" and cell.edge is not Edge.PROMOTE_DEADLINE:
            self.stage.command(self.person, "suspend", self.client_id, {})
        if not at_grace or cell.row in NEED_OPEN_ROTATION:
            self._open_rotation()

    def _set_policy(self, **policy: int) -> None:
        self.stage.deployment.operate(f"/clients/{self.client_id}/policy", {"policy": policy})

    def _put_in_grace(self, grace: timedelta) -> bool:
        """Rotate once, so that the version before is in grace."""
        stage, client_id = self.stage, self.client_id
        supersede = stage.client(client_id)["previous_version"] is not None
        rotated = stage.rotate(self.person, client_id, grace=grace, supersede=supersede)
        if not rotated.is_accepted or not stage.wait_for(lambda: stage.phase(client_id) != "requested", 60):
            return False
        stage.acknowledge(client_id, self.person)
        if stage.rotation(client_id).get("canaries_required"):
            prove_canary(stage, client_id)
            stage.sweep()
        stage.check_all(client_id, FRESH)
        stage.sweep()
        return stage.client(client_id).get("previous_version") is not None

    def _open_rotation(self) -> None:
        """Open a rotation, and bring it to the phase that waits for the edge."""
        cell, stage, client_id = self.cell, self.stage, self.client_id
        client = stage.client(client_id)
        loses_event = cell.edge is Edge.DISTRIBUTE_DEADLINE or (
            cell.edge is Edge.GRACE_END and cell.row == "Distribute"
        )
        lead = timedelta(seconds=stage.random.choice((150, 400))) if cell.edge is Edge.PROMOTION else None
        self.person.armed = Armed(Fault.EVENT_LOST) if loses_event else None
        outcome = stage.rotate(
            self.person,
            client_id,
            emergency=client["status"] == "suspended",
            supersede=client["previous_version"] is not None and client["status"] != "suspended",
            not_before=lead,
            grace=timedelta(seconds=stage.random.choice((0, 120, 3600))),
        )
        self.person.armed = None
        if loses_event or not outcome.is_accepted:
            return
        stage.wait_for(lambda: stage.phase(client_id) == "distributed", 60)
        waits_for_promotion = cell.edge in {Edge.PROMOTION, Edge.PROMOTE_DEADLINE}
        if waits_for_promotion or (cell.edge is Edge.GRACE_END and cell.row == "CountCanaries"):
            self._acknowledge_all()

    def _acknowledge_all(self) -> None:
        """Complete the quorum."""
        stage, client_id = self.stage, self.client_id
        for person in (self.person, *stage.people.values()):
            if stage.phase(client_id) == "distributed":
                stage.acknowledge(client_id, person)
        if self.cell.edge is Edge.PROMOTION and stage.rotation(client_id).get("canaries_required"):
            prove_canary(stage, client_id)
            stage.sweep()

    def _edges(self) -> dict[Edge, float]:
        """Return the edges that are ahead of the client, from its stored documents."""
        stage = self.stage
        client, rotation = stage.client(self.client_id), stage.rotation(self.client_id)
        policy, phase = stage.deployment.settings.policy, rotation.get("phase")
        times: dict[Edge, datetime | None] = {}
        if previous := client.get("previous_version"):
            version = stage.deployment.document(f"oauth2_clients/{self.client_id}/secrets/{previous}") or {}
            times[Edge.GRACE_END] = version.get("not_after")
        if phase == "requested":
            lasts = timedelta(seconds=policy.distribute_deadline_seconds)
            times[Edge.DISTRIBUTE_DEADLINE] = rotation["created_at"] + lasts
        if phase == "distributed":
            times[Edge.ACK_DEADLINE] = rotation["ack_deadline"]
        if phase == "acknowledged":
            ready = max(rotation["acknowledged_at"], rotation["not_before"])
            times[Edge.PROMOTION] = ready
            times[Edge.PROMOTE_DEADLINE] = ready + timedelta(seconds=policy.promote_deadline_seconds)
        return {edge: stage.true_seconds(at) for edge, at in times.items() if at is not None}
