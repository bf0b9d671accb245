"""How a fault strikes an attempt: what goes wrong around it, and who takes advantage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.device.core.signed_events import service_event
from keyturn.ports.store import Amend

from tests.simulation.faults import OF_COMMITS, OF_DEPENDENCIES, OF_EVENTS, OF_PROCESSES, Armed, Fault
from tests.simulation.rows import Attempt, forge_ack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.ports.store import Data

    from tests.simulation.people import Person
    from tests.simulation.stage import Act, Stage


@dataclass
class Strike:
    """One fault at one attempt. `actor` is the person who acts, with a copied device after a fork."""

    stage: Stage
    fault: Fault
    row: str
    client_id: str
    actor: Person
    armed: Armed | None = None

    def prepare(self) -> None:
        """Bring about what is there before the attempt begins."""
        if self.fault in OF_COMMITS | OF_EVENTS - {Fault.EVENT_LOST} | {Fault.ANSWER_LOST}:
            self.armed = Armed(self.fault)
        if self.fault in OF_PROCESSES:
            self.armed = Armed(self.fault, self.stage.random.randrange(4))
        if self.fault in OF_DEPENDENCIES:
            self._fail_dependency()
        if self.fault in PREPARE:
            PREPARE[self.fault](self)

    def accomplices(self) -> list[Act]:
        """Return what others do at the same time because of the fault."""
        if self.fault is Fault.DEVICE_FORKED:
            owner = self.stage.people[self.actor.user]
            attempt = Attempt(self.stage, self.row, self.client_id, owner)
            return [(self.stage.random.uniform(0.0, 0.4), "owner of the forked device", attempt.run)]
        if self.fault is Fault.MALICIOUS_ADMIN:
            return [(self.stage.random.uniform(0.0, 0.4), "mallory", self._do_mischief)]
        return []

    def _note(self, where: str) -> None:
        self.stage.deployment.note_fault(self.fault, where)

    def _fail_dependency(self) -> None:
        random, deployment = self.stage.random, self.stage.deployment
        process = "" if random.random() < 0.4 else random.choice(deployment.processes).name
        deployment.fail(self.fault, random.choice((0.8, 6.0, 25.0)), process)

    def repeat_events(self) -> None:
        """Deliver events of this client from before once more, late and out of order."""
        self._note(f"earlier events of {self.client_id}")
        self.stage.deployment.events.repeat(self.client_id)

    def lose_events(self) -> None:
        """Lose every event about this client from now on."""
        self._note(f"events of {self.client_id}")
        self.stage.deployment.events.losing.add(self.client_id)

    def set_clock(self) -> None:
        """Set the clock of the store, or of the device."""
        random, deployment = self.stage.random, self.stage.deployment
        sign = 1.0 if self.fault is Fault.CLOCK_FORWARD else -1.0
        if random.random() < 0.5:
            self.actor.offset_seconds = sign * random.choice((3.0, 60.0, 150.0))
            self._note(f"the device of {self.actor.user}, by {self.actor.offset_seconds} s")
        else:
            seconds = sign * random.choice((0.8, 3.0, 40.0))
            deployment.clock_offset += seconds
            self._note(f"the store, by {seconds} s")

    def fork(self) -> None:
        """Copy the device, so that two programs have the same keys."""
        self._note(self.actor.user)
        self.stage.callers += 1
        self.actor = self.actor.fork(self.stage.deployment.folder / f"fork-{self.stage.callers}")

    def restore(self) -> None:
        """Put an older copy of the device's home back."""
        self._note(self.actor.user)
        self.actor.restore(self.stage.templates / "homes" / self.actor.user)

    def write_next_release(self) -> None:
        """Write fields, a policy or a kind of client that this release doesn't know, as the next one may."""
        self._note(self.client_id)
        client = self.stage.client(self.client_id)
        names = [f"oauth2_clients/{self.client_id}/secrets/{name}" for name in self.stage.live(self.client_id)]
        if client.get("active_rotation"):
            names.append(f"oauth2_rotations/{client['active_rotation']}")
        unknown: Data = {"of_the_next_release": {"kind": "unknown", "count": 2}}
        policy: Data = {"policy": {**client["policy"], "of_the_next_release": 3}}
        kind: Data = {"kind": "of_the_next_release"}
        fields: Data = {**unknown, **self.stage.random.choice(({}, policy, kind))}
        writes = [Amend(f"oauth2_clients/{self.client_id}", fields), *(Amend(path, unknown) for path in names)]
        self.stage.deployment.databases["control"].commit(writes)

    def _do_mischief(self) -> None:
        """Send what an admin with a device and bad intent can send."""
        stage = self.stage
        mallory = stage.person(other_than=self.actor)
        self._note(mallory.user)
        others = [body for item in stage.people.values() if item is not mallory for body in item.bodies[-6:]]
        for body in stage.random.sample(others, min(3, len(others))):
            stage.repeat(body)
        forge_ack(stage, self.client_id, mallory)
        event = service_event(
            mallory.device.context.signer,
            action_type="revoke",
            action_id=mallory.device.new_id(),
            client_id=self.client_id,
            group="another-group",
            params={"version_id": "all", "reason": "mischief"},
        )
        mallory.act("revokes through a group that is none", lambda device: device.context.api.post_event(event))


PREPARE: Mapping[Fault, Callable[[Strike], None]] = {
    Fault.EVENT_LOST: Strike.lose_events,
    Fault.EVENT_DOUBLED: Strike.repeat_events,
    Fault.EVENT_REORDERED: Strike.repeat_events,
    Fault.EVENT_DAY_LATE: Strike.repeat_events,
    Fault.CLOCK_FORWARD: Strike.set_clock,
    Fault.CLOCK_BACK: Strike.set_clock,
    Fault.DEVICE_FORKED: Strike.fork,
    Fault.DEVICE_RESTORED: Strike.restore,
    Fault.NEXT_RELEASE: Strike.write_next_release,
}
