"""The cost of each use case in calls, writes, bytes and documents, and the law by which it grows.

A cost is constant, or it grows with what the use case is about. What grows with more than that is an exception, and
stands in EXCEPTIONS until a later change removes it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.deployment import Deployment
from tests.simulation.oracle import Oracle
from tests.simulation.people import Person
from tests.simulation.run import carry_out, new_template, temporary_folder
from tests.simulation.stage import FRESH, Stage
from tests.simulation.trials import make_everything_due

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.processes import Cost

CLIENT = "client-00"


@dataclass(frozen=True)
class Size:
    """How large a deployment is. All clients belong to one group, and so do all people."""

    clients: int = 3
    people: int = 3


@dataclass
class Ledger:
    """What each use case has cost in one deployment."""

    size: Size
    costs: dict[str, Cost] = field(default_factory=dict)

    def calls(self, use_case: str) -> int:
        return self.costs[use_case].calls.total()

    def lines(self) -> list[str]:
        """Return the table, for people."""
        return [
            f"{name:32} {cost.calls.total():4} calls {cost.writes:4} writes {cost.bytes:7} bytes"
            f" {len(cost.documents):4} documents"
            for name, cost in self.costs.items()
        ]


def measure(size: Size) -> Ledger:
    """Run each use case once, alone, in a deployment of this size."""
    users = [f"admin-{number:02}" for number in range(size.people)]
    template = new_template(users, [f"client-{number:02}" for number in range(size.clients)])
    folder = temporary_folder()
    shutil.copytree(template.folder, folder, dirs_exist_ok=True)
    deployment = Deployment(Random(1), folder)
    ledger = Ledger(size)
    try:
        oracle = Oracle(deployment.keys.mac.sign)
        deployment.load(template.saved)
        deployment.load_statuses(template.statuses)
        for delivery in template.deliveries:
            oracle.note_delivery(delivery)
        people = {user: Person(deployment, oracle, user, folder).open() for user in users}
        stage = Stage(deployment, oracle, people, folder)
        carry_out(deployment, lambda: _measure_all(stage, ledger))
    finally:
        deployment.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(template.folder, ignore_errors=True)
    return ledger


def _measure_all(stage: Stage, ledger: Ledger) -> None:
    requester, other = list(stage.people.values())[:2]
    for person in stage.people.values():
        person.read_inbox()

    def note(name: str, function: str, act: Callable[[], object]) -> None:
        meter = stage.deployment.start_meter(function)
        act()
        stage.deployment.stop_meter()
        ledger.costs[name] = meter

    def distribute() -> None:
        stage.wait_for(lambda: stage.phase(CLIENT) == "distributed", 60)

    grace = timedelta(seconds=60)
    note("check a secret", "client_token", lambda: stage.check_all(CLIENT, FRESH))
    note("request a rotation", "rotate_request", lambda: stage.rotate(requester, CLIENT, grace=grace))
    note("distribute a secret", "distribute", distribute)
    note("read the inbox", "status", other.read_inbox)
    note("acknowledge a rotation", "rotate_request", lambda: stage.acknowledge(CLIENT, other))
    note("show a client", "status", lambda: requester.device.client(CLIENT))
    note("roll back", "rotate_request", lambda: stage.command(requester, "rollback", CLIENT, {}))
    note("suspend a client", "rotate_request", lambda: stage.command(requester, "suspend", CLIENT, {}))
    note("resume a client", "rotate_request", lambda: stage.command(requester, "resume", CLIENT, {}))
    note("sweep, nothing due", "grace_sweeper", stage.sweep)
    stage.sleep(120.0)
    note("sweep, one client due", "grace_sweeper", stage.sweep)
    make_everything_due(stage)
    note("sweep with maintenance", "grace_sweeper", stage.sweep)
    leaves = {"user": other.user}
    note("remove a person", "operator", lambda: stage.deployment.operate("/groups/ops/remove", leaves))


BASE, MORE_CLIENTS, MORE_PEOPLE = Size(), Size(clients=9), Size(people=9)
CALLS_PER_CLIENT: Mapping[str, int] = {"remove a person": 3}
"""Exceptions: use cases whose calls grow with the clients of a group, by how many. All others are constant.

`remove a person` reads each client of the person's groups, to cancel what the person received (docs/scale.md).
"""
CALLS_PER_PERSON: Mapping[str, int] = {}
"""The same for the people of a group."""
BYTES_PER_PERSON = 700
"""What a commit may grow by for each person: an entry of the roster, a leaf in the sealed state, a recipient."""
