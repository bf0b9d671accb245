"""Defects to plant, one at a time: each was once found in review. The simulator has to find them again.

Each is a function that patches the suite, and names the situations or the trial that meet it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.adapters.sqlite.host_clock import HostClock
from keyturn.domain import guards, lifecycle
from keyturn.domain.commands import Acknowledge
from keyturn.domain.policy import Policy
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.triggers import DISTRIBUTION_TOPIC
from keyturn.use_cases import client_repository
from keyturn.use_cases.commands import execute, execute_envelope
from keyturn.use_cases.commands.token_bucket import Buckets, Charge
from keyturn.use_cases.distribution import distribute
from keyturn.use_cases.sweep.sweep import Sweep

from tests.simulation import oracle
from tests.simulation.faults import Fault
from tests.simulation.situations import Edge, Place, Situation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    import pytest


@dataclass(frozen=True)
class Defect:
    """A defect, how to plant it, where it shows, and the rules of the oracle that it breaks."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    rules: frozenset[str]
    cells: Sequence[Situation] = ()
    trial: str = ""
    people: int = 3
    limit: Callable[[pytest.MonkeyPatch], None] | None = None
    """Lowers a limit of the suite, so that a small trial reaches it. No defect by itself."""


FEW_MESSAGES = 20
"""How many messages a group may send at once in the trial of a crowd: few, so that a small crowd exceeds it."""
FEW_WRITES = 30
"""The limit of a commit in the trial of a batch: small, so that a few clients exceed it."""


def _follow_each_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HostClock, "_has_lasted", lambda *_: True)


def _forget_the_margin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Policy, "rollback_margin", lambda _self, _longest: timedelta(0))


def lower_the_limit(patch: pytest.MonkeyPatch) -> None:
    """Let a commit have few writes. No defect by itself."""
    patch.setattr("keyturn.adapters.document_values.MAX_WRITES", FEW_WRITES)
    patch.setattr(distribute, "MAX_WRITES", FEW_WRITES)


def _send_whole_batches(patch: pytest.MonkeyPatch) -> None:
    def send_all(self: Any, _own: object, deliveries: Sequence[Any]) -> Sequence[Any]:  # noqa: ANN401 - the use case
        self._send(deliveries)
        return deliveries

    lower_the_limit(patch)
    patch.setattr(distribute.DistributeSecrets, "_send_what_fits", send_all)


def _stop_at_an_unreadable_client(patch: pytest.MonkeyPatch) -> None:
    def settle(self: Any, document: Any, waiting: list[Any]) -> str:  # noqa: ANN401 - the use case
        return str(self._settle(document.id, None, waiting))

    patch.setattr(Sweep, "_settle_client", settle)


def _count_those_who_left(patch: pytest.MonkeyPatch) -> None:
    row = lifecycle.TABLE[Acknowledge]
    left = tuple(guard for guard in row.guards if guard is not guards.recipient)
    patch.setitem(lifecycle.TABLE, Acknowledge, replace(row, guards=left))


def _publish_while_settling(patch: pytest.MonkeyPatch) -> None:
    settle = Sweep._settle_client

    def settle_and_publish(self: Any, document: Any, waiting: list[Any]) -> str:  # noqa: ANN401 - the use case
        for rotation in waiting:
            with suppress(BusUnavailable):
                self.bus.publish(DISTRIBUTION_TOPIC, {"client_id": rotation.client_id, "rotation_id": ""})
        return settle(self, document, waiting)

    patch.setattr(Sweep, "_settle_client", settle_and_publish)


def _read_damaged_clients(patch: pytest.MonkeyPatch) -> None:
    def read_each(self: Any, client_ids: Iterable[str], plan: Any = client_repository.READ_ALL) -> list[Any]:  # noqa: ANN401 - the repository
        return [self.read(client_id, plan) for client_id in client_ids]

    patch.setattr(client_repository.Clients, "read_together", read_each)


def lower_the_burst(patch: pytest.MonkeyPatch) -> None:
    """Let a group send few messages at once. No defect by itself."""
    take = Buckets.take

    def take_of_few(self: Buckets, key: str, now: datetime) -> None:
        self.burst, self.per_second = float(FEW_MESSAGES), 1.0
        take(self, key, now)

    patch.setattr(Buckets, "take", take_of_few)
    patch.setattr(oracle, "GROUP_BURST", FEW_MESSAGES)


def _charge_each_retry(patch: pytest.MonkeyPatch) -> None:
    lower_the_burst(patch)
    patch.setattr(Charge, "pay", lambda self, now: self.buckets.take(self.key, now))


def _forget_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(execute, "stored_answer", lambda _document: None)
    patch.setattr(execute_envelope, "stored_answer", lambda _document: None)


def _around_grace(row: str, *faults: Fault) -> list[Situation]:
    return [Situation(row, Edge.GRACE_END, Place.BEFORE, fault) for fault in faults]


DEFECTS = (
    Defect(
        "a rollback at the end of grace, committed late",
        _forget_the_margin,
        frozenset({"dead stays dead"}),
        cells=_around_grace("Rollback", Fault.COMMIT_LATE, Fault.COMMIT_SLOW, Fault.PROCESS_PAUSED),
    ),
    Defect(
        "a batch over the limits of a commit",
        _send_whole_batches,
        frozenset({"a rotation is distributed once everything works"}),
        trial="a full batch",
        limit=lower_the_limit,
    ),
    Defect(
        "an unreadable client stops the sweep",
        _stop_at_an_unreadable_client,
        frozenset({"a sweep settles every client that is due", "a sweep ends"}),
        trial="a poisoned document",
    ),
    Defect(
        "an admin who left acknowledges",
        _count_those_who_left,
        frozenset({"who has left does not act"}),
        trial="a recipient leaves",
    ),
    Defect(
        "a bus that is down starves the sweep",
        _publish_while_settling,
        frozenset({"a sweep settles every client that is due"}),
        trial="the bus starves the sweep",
    ),
    Defect(
        "a poisoned document stops the others' distribution",
        _read_damaged_clients,
        frozenset({"a rotation is distributed once everything works"}),
        trial="a poisoned document",
    ),
    Defect(
        "a flood of envelopes",
        _charge_each_retry,
        frozenset({"a limit counts messages"}),
        trial="a crowd acknowledges",
        limit=lower_the_burst,
        people=16,
    ),
    Defect(
        "a clock that follows each step at once",
        _follow_each_step,
        frozenset({"the promised grace is kept"}),
        trial="the clock jumps",
    ),
    Defect(
        "an unknown outcome told as a conflict",
        _forget_answers,
        frozenset({"what took effect is told as such"}),
        cells=_around_grace("Suspend", Fault.COMMIT_UNKNOWN_APPLIED)
        + _around_grace("Request", Fault.COMMIT_UNKNOWN_APPLIED, Fault.COMMIT_LATE),
    ),
)
