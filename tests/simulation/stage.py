"""The stage: what people, integrators and the scheduler can do in a simulated deployment, one act at a time."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.ports.store import StoreError

from tests.simulation.deployment import START
from tests.simulation.oracle import SWEEP_SECONDS, Checked
from tests.simulation.people import event_id
from tests.simulation.scheduler import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from random import Random

    from keyturn.entry.composition.verifier_suite import VerifierSuite

    from tests.simulation.deployment import Deployment
    from tests.simulation.faults import Armed
    from tests.simulation.oracle import Delivery, Oracle
    from tests.simulation.people import Outcome, Person

    Act = tuple[float, str, Callable[[], object]]
    """When it begins (seconds from now), the name of its task, and what is done."""

GROUP = "ops"
USERS = ("alice", "bob", "carol")
CLIENTS = ("acme", "borealis", "cascade", "delta")
VERIFIERS = ("verifier-1", "verifier-2", "verifier-3")
FRESH = "verifier-3"
"""The verifier that keeps no verdicts."""


def _count_uses(verification: VerifierSuite) -> None:
    with suppress(StoreError):  # the next flush writes them
        verification.telemetry.flush()
        verification.retired_secrets.turn()


_JOINT_SECONDS = 4000.0
_REFUSED_OR_NOT = (200, 401)


@dataclass
class Stage:
    """One deployment with its people. `templates` has older copies of their devices' homes."""

    deployment: Deployment
    oracle: Oracle
    people: Mapping[str, Person]
    templates: Path
    callers: int = 0
    """How many integrators have called, each from an address of its own."""

    @property
    def random(self) -> Random:
        return self.deployment.random

    @property
    def now(self) -> float:
        return self.deployment.scheduler.now

    @property
    def store_ms(self) -> int:
        """The store's clock."""
        return round(self.deployment.store_time().timestamp() * 1000)

    def note(self, sentence: str) -> None:
        self.deployment.note(sentence)

    # --- time --------------------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        self.deployment.scheduler.sleep(seconds)

    def true_seconds(self, store_time: datetime) -> float:
        """Return when the store's clock shows a time."""
        return self.now + (store_time - self.deployment.store_time()) / timedelta(seconds=1)

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so. Return whether it is."""
        end = self.now + seconds
        while not condition():
            if self.now >= end:
                return False
            self.sleep(0.25)
        return True

    def together(self, acts: Sequence[Act]) -> None:
        """Do several things at once, and wait for all of them."""
        left, signal = [len(acts)], Signal(self.deployment.scheduler)

        def run(act: Callable[[], object]) -> None:
            try:
                act()
            finally:
                left[0] -= 1
                if not left[0]:
                    signal.fire()

        for delay, name, act in acts:
            self.deployment.scheduler.spawn(name, partial(run, act), delay)
        signal.wait(_JOINT_SECONDS)

    # --- what is stored ----------------------------------------------------------------------------------------------

    def client(self, client_id: str) -> Mapping[str, Any]:
        return self.deployment.document(f"oauth2_clients/{client_id}") or {}

    def rotation(self, client_id: str) -> Mapping[str, Any]:
        """Return the active rotation, or nothing."""
        name = self.client(client_id).get("active_rotation")
        return self.deployment.document(f"oauth2_rotations/{name}") or {} if name else {}

    def latest_rotation(self, client_id: str) -> str:
        """Return the id of the active rotation, or of the last one."""
        client = self.client(client_id)
        return str(client.get("active_rotation") or client.get("last_rotation"))

    def phase(self, client_id: str) -> str:
        return str(self.rotation(client_id).get("phase", ""))

    def live(self, client_id: str) -> list[str]:
        """Return the ids of the versions that are stored as live."""
        client = self.client(client_id)
        return [str(name) for name in (client.get("current_version"), client.get("previous_version")) if name]

    def pending_delivery(self, client_id: str) -> Delivery | None:
        """Return the secret of the active rotation, if a device has opened it."""
        return self.oracle.deliveries.get((client_id, str(self.rotation(client_id).get("new_version"))))

    # --- people ------------------------------------------------------------------------------------------------------

    def person(self, *, other_than: Person | None = None) -> Person:
        """Return somebody whose device is free."""
        free = [item for item in self.people.values() if not item.is_busy and item is not other_than]
        return self.random.choice(free or [item for item in self.people.values() if item is not other_than])

    def rotate(self, person: Person, client_id: str, **options: Any) -> Outcome:  # noqa: ANN401 - of Device.rotate
        emergency, supersede = options.get("emergency", False), options.get("supersede", False)
        kind = "emergency" if emergency else "supersede" if supersede else "request"
        self.oracle.note_command(kind, client_id, self.now)
        return person.act(
            f"requests a rotation of {client_id} ({kind})",
            lambda device: device.rotate(client_id, "it is time", **options),
        )

    def command(self, person: Person, action: str, client_id: str, params: Mapping[str, Any]) -> Outcome:
        self.oracle.note_command(action, client_id, self.now)
        shown = f" ({', '.join(f'{name} {value}' for name, value in params.items())})" if params else ""
        return person.act(
            f"sends {action} for {client_id}{shown}",
            lambda device: device.command(action, client_id, params, "it is needed"),
        )

    def acknowledge(self, client_id: str, person: Person) -> Outcome:
        self.oracle.note_command("ack", client_id, self.now)
        return person.acknowledge(str(self.client(client_id).get("active_rotation")))

    def repeat(self, body: bytes) -> None:
        """Send bytes again that a device sent before."""
        name = event_id(body)
        self.note(f"the network repeats message {name[:8]}")
        reply = self.deployment.request("POST", "/rotate_request/", body)
        if reply is not None:
            self.oracle.note_answer(name, reply.status, json.loads(reply.body), self.now)

    # --- the scheduler and integrators -------------------------------------------------------------------------------

    def sweep(self, armed: Armed | None = None) -> None:
        self.note("the sweeper runs")
        self.deployment.request("POST", "/grace_sweeper/", b"{}", armed=armed)

    def overdue(self) -> list[str]:
        """Return the clients whose grace has ended and whose documents don't say so yet."""
        found = []
        for client_id in CLIENTS:
            previous = self.client(client_id).get("previous_version")
            version = self.deployment.document(f"oauth2_clients/{client_id}/secrets/{previous}") if previous else None
            if version is not None and version["not_after"] <= self.deployment.store_time() - timedelta(seconds=2):
                found.append(client_id)
        return found

    def judge_sweep(self, besides: str = "") -> None:
        """Let the sweeper run, and tell the oracle which clients it has left unsettled."""
        before = set(self.overdue()) - {besides}
        self.deployment.scheduler.spawn("sweeper", self.sweep)
        self.sleep(SWEEP_SECONDS)
        house = self.deployment.document("service/house") or {}
        # While a dependency is down, maintenance may have to wait for the next sweep.
        is_maintained = bool(self.deployment.down) or house.get("due_at", START) > self.deployment.store_time()
        self.oracle.note_sweep(sorted(before & set(self.overdue())), self.now, is_maintained=is_maintained)

    def check(self, delivery: Delivery, verifier: str) -> bool | None:
        """Present a secret as an integrator does. Return the verdict, None if there was none."""
        client_id, began = delivery.client_id, self.now
        headers = {"X-Client-Id": client_id, "X-API-Key": delivery.secret}
        self.callers += 1  # each from an address of its own: no failure limit is to interfere
        source = f"198.51.{self.callers // 250 % 250}.{self.callers % 250}"
        reply = self.deployment.request("POST", "/client_token/check", b"", headers, process=verifier, source=source)
        name = f"version {delivery.version_id[-6:]} of {client_id}"
        if reply is None or reply.status not in _REFUSED_OR_NOT:
            self.note(f"{verifier} has no verdict on {name}")
            return None
        view = json.loads(reply.body)
        checked = Checked(
            client_id=client_id,
            version_id=delivery.version_id,
            began=began,
            ended=self.now,
            store_ms=self.store_ms,
            is_accepted=view["accepted"],
            state=view.get("state", ""),
            is_active=self.deployment.was_active(client_id, began - 1.5),
            verifier=verifier,
        )
        self.note(f"{verifier} {f'accepts ({checked.state})' if checked.is_accepted else 'refuses'} {name}")
        self.oracle.note_check(checked)
        return checked.is_accepted

    def check_all(self, client_id: str, verifier: str = "") -> None:
        """Present the latest secrets of a client."""
        for delivery in self.oracle.secrets_of(client_id)[-3:]:
            self.check(delivery, verifier or self.random.choice(VERIFIERS))

    def count_uses(self) -> None:
        """Let the verifiers write their counts, and look for uses of retired secrets, as their threads do."""
        for process in self.deployment.processes:
            if "client_token" in process.functions:
                process.spawn("telemetry", partial(_count_uses, process.suite.verification))

    def probe(self, client_id: str) -> None:
        """Ask a fresh verifier for every secret of a client: one of them verifies while it is active."""
        began = self.now
        verdicts: dict[str, bool] = {}
        for delivery in reversed(self.oracle.secrets_of(client_id)):
            verdict = self.check(delivery, FRESH)
            if verdict is None or not self.deployment.was_active(client_id, began - 1.5):
                return
            verdicts[delivery.version_id] = verdict
            if verdict:
                break
        self.oracle.note_probe(client_id, verdicts, self.now)
