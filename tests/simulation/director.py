"""The director leads one run: for each situation a client is prepared, and people act around the edge of time.

It knows what it wants to happen. What must not happen is known to the oracle alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.faults import OF_COMMITS, Fault
from tests.simulation.preparation import Preparation
from tests.simulation.rows import BY_OTHERS, Attempt
from tests.simulation.situations import NEAR_SECONDS, Place, Situation
from tests.simulation.strikes import Strike

if TYPE_CHECKING:
    from tests.simulation.stage import Act, Stage

LEAD_SECONDS = 0.45
"""How long a device takes, at most, from the decision of its user to the command on the network."""
_BEGINS_BEFORE, _BEGINS_AFTER = -1.3, 1.0
_OFFSETS = {
    Place.BEFORE: (-2.0, -2.5, -6.0, -12.0, -40.0, -48.0, -50.0, -70.0),
    Place.AT: (-0.6, -0.3, -0.1, 0.2, 0.4, 0.6),
    Place.AFTER: (1.7, 2.5, 4.0, 8.0, 30.0, 75.0),
}
_AROUND_THE_MARGIN = (-6.0, -25.0, -49.8, -60.0, -75.0)


@dataclass
class Director:
    """Leads the people on one stage."""

    stage: Stage
    filled: set[Situation] = field(default_factory=set)
    attempts: int = 0

    def play(self, cell: Situation, client_id: str) -> None:
        """Prepare a client for a situation, and play it."""
        stage = self.stage
        stage.note(f"--- {client_id}: {cell}")
        edge = Preparation(stage, cell, client_id, stage.person()).run()
        if edge is None:
            stage.note("the situation could not be prepared")
            return
        offsets = _OFFSETS[cell.place]
        if cell.place is Place.BEFORE and cell.fault in OF_COMMITS:
            offsets = _AROUND_THE_MARGIN  # nearer to the edge many commands are refused, and commit nothing
        begins = edge + stage.random.choice(offsets)
        stage.sleep(begins - LEAD_SECONDS - stage.now)
        self._play_at_edge(cell, client_id, edge)
        self._heal(client_id)

    def _play_at_edge(self, cell: Situation, client_id: str, edge: float) -> None:
        stage = self.stage
        struck_before = stage.deployment.faults[cell.fault]
        strike = Strike(stage, cell.fault, cell.row, client_id, stage.person())
        strike.prepare()
        person = stage.people[strike.actor.user]
        attempt = Attempt(stage, cell.row, client_id, strike.actor, strike.armed)
        person.is_busy = True
        self.attempts += 1
        stage.together([(0.0, "attempt", attempt.run), *self._bystanders(client_id, edge), *strike.accomplices()])
        person.is_busy = False
        struck = cell.fault is Fault.NONE or stage.deployment.faults[cell.fault] > struck_before
        self._fill(cell, attempt.began - edge, struck=struck)

    def _fill(self, cell: Situation, distance: float, *, struck: bool) -> None:
        place = Place.BEFORE if distance < _BEGINS_BEFORE else Place.AT if distance <= _BEGINS_AFTER else Place.AFTER
        if place is cell.place and abs(distance) <= NEAR_SECONDS and struck:
            self.filled.add(cell)
        else:
            self.stage.note(
                f"missed: {distance:.2f} s from the edge, the fault {'has' if struck else 'has not'} struck"
            )

    def _bystanders(self, client_id: str, edge: float) -> list[Act]:
        """Return what integrators, the sweeper and perhaps another admin do around the edge and the attempt."""
        stage, random = self.stage, self.stage.random
        ahead = max(0.0, edge - stage.now)
        moments = (0.2, 0.9, ahead + 0.05, ahead + 2.6, 14.0)
        acts: list[Act] = [(moment, "integrator", lambda: stage.check_all(client_id)) for moment in moments]
        if random.random() < 0.4:
            acts.append((ahead + random.uniform(0.0, 3.0), "sweeper", stage.sweep))
        if random.random() < 0.35:
            row = random.choice(BY_OTHERS)
            acts.append((random.uniform(0.0, 1.0), "other admin", lambda: self._try_as_other(row, client_id)))
        return acts

    def _try_as_other(self, row: str, client_id: str) -> None:
        free = [item for item in self.stage.people.values() if not item.is_busy]
        if free:
            person = self.stage.random.choice(free)
            person.is_busy = True
            self.attempts += 1
            Attempt(self.stage, row, client_id, person).run()
            person.is_busy = False

    def _heal(self, client_id: str) -> None:
        """End all faults, repeat what was sent, settle, and look at what verifiers say."""
        stage, random = self.stage, self.stage.random
        stage.deployment.heal()
        for person in stage.people.values():
            person.offset_seconds = 0.0
        bodies = [body for person in stage.people.values() for body in person.bodies[-2:]]
        for body in random.sample(bodies, min(2, len(bodies))):
            stage.repeat(body)
        if random.random() < 0.3:
            stage.count_uses()
        stage.sleep(random.choice((5.0, 35.0, 100.0)))
        stage.sweep()
        stage.check_all(client_id)
        stage.sleep(7.0)
        stage.check_all(client_id)
        stage.probe(client_id)
