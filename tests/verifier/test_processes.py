"""Four verifiers in processes of their own over one store, in real time: no yes past the bound, no long no.

What each of them answered is judged afterwards by when each secret verified. VERIFIER_SECONDS sets how long it goes on.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from random import Random
from typing import TYPE_CHECKING

from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.domain.model import ClientStatus
from keyturn.domain.policy import Policy

from tests.verifier.stage import RealClock, Stage
from tests.verifier.verifying_process import Checked, run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

SECONDS = float(os.environ.get("VERIFIER_SECONDS", "6"))
BOUND, SHARED = 2, 1.0
OFFSETS = (0.0, 600.0, -600.0, 7.0)
CLIENTS = 12
"""At once; each is followed by a new one after so many acts."""
ACTS = 10


@dataclass
class Interval:
    """When a secret verified: for sure between the inner two instants, at most between the outer two."""

    maybe_from: float
    surely_from: float
    surely_to: float = math.inf
    maybe_to: float = math.inf
    doubts: list[tuple[float, float]] = field(default_factory=list)
    """When a no is not wrong: it was to end then, was kept from ending, and who read before has a second to hear it."""

    def is_doubted(self, began: float, ended: float) -> bool:
        """Return whether a check was made, in part, while a no was not wrong."""
        return any(since < ended and began < until for since, until in self.doubts)


@dataclass
class Ledger:
    """Since when and until when each secret verified, by the machine's monotonic clock."""

    stage: Stage
    intervals: dict[str, list[Interval]] = field(default_factory=dict, repr=False)
    open: dict[str, dict[str, Interval]] = field(default_factory=dict, repr=False)

    def note(self, client_id: str, began: float, ended: float) -> None:
        """Note what verifies after an act that began and ended then."""
        live = self._live(client_id)
        # What ended while the act was on its way, and verifies after it (a rollback at the last moment), begins anew.
        before = {name: each for name, each in self.open.get(client_id, {}).items() if each.surely_to > ended}
        for secret, interval in before.items():
            if secret not in live:
                interval.surely_to = min(interval.surely_to, began)
                interval.maybe_to = min(interval.maybe_to, ended)
        self.open[client_id] = {name: before.get(name) or Interval(began, ended) for name in live}
        for secret, end in live.items():
            interval = self.open[client_id][secret]
            if secret in before and end > interval.surely_to:  # a rollback, shortly before its grace was over
                interval.doubts.append((interval.surely_to, ended + SHARED))
            interval.surely_to = interval.maybe_to = end
            if secret not in before:
                self.intervals.setdefault(secret, []).append(interval)

    def _live(self, client_id: str) -> dict[str, float]:
        state = self.stage.state(client_id)
        if state.client.status is not ClientStatus.ACTIVE:
            return {}
        now, at = time.monotonic(), self.stage.clock()
        ends = {
            item: (item.not_after - at).total_seconds() + now if item.not_after else math.inf for item in state.live
        }
        return {self.stage.secrets[item.version_id]: end for item, end in ends.items()}

    def wrong(self, checked: Checked) -> bool:
        """Return whether a check came to what it must not come to."""
        intervals = self.intervals.get(checked.secret, [])
        if checked.accepted is None:
            return False
        if checked.accepted:
            return not any(
                each.maybe_from <= checked.ended and each.maybe_to + BOUND >= checked.began for each in intervals
            )
        return any(
            each.surely_from + SHARED <= checked.began
            and checked.ended <= each.surely_to
            and not each.is_doubted(checked.began, checked.ended)
            for each in intervals
        )


class Writer:
    """Whoever turns the secrets over, and tells the processes of it."""

    def __init__(self, store: SqliteStore, ends: list[Connection]) -> None:
        self.random = Random(11)
        self.stage = Stage(policy=Policy(max_stale_seconds=BOUND), clock=RealClock())
        self.stage.store = store
        self.ledger = Ledger(self.stage)
        self.ends = ends
        self.histories = 0
        self.acts: dict[str, int] = {}

    def step(self) -> None:
        """Do something to one of the clients, or begin with a new one."""
        if len(self.acts) < CLIENTS:
            self.histories += 1
            self._act(f"client-{self.histories:06d}", "promote")
            return
        client_id = self.random.choice(list(self.acts))
        last = self.acts[client_id] >= ACTS
        names = ("promote", "promote", "promote", "rollback", "retire", "suspend", "resume")
        self._act(client_id, "revoke" if last else self.random.choice(names))
        if last:
            del self.acts[client_id]

    def _act(self, client_id: str, name: str) -> None:
        self.acts[client_id] = self.acts.get(client_id, 0) + 1
        began = time.monotonic()
        secret = self._done(client_id, name)
        self.ledger.note(client_id, began, time.monotonic())
        for end in self.ends:
            end.send((client_id, secret or ""))

    def _done(self, client_id: str, name: str) -> str | None:
        if name == "promote":
            return self.stage.promote(client_id, self.random.choice((0, 1.5, 60)))
        if name in {"rollback", "retire"}:
            getattr(self.stage, name)(client_id)
            return None
        statuses = {"suspend": ClientStatus.SUSPENDED, "resume": ClientStatus.ACTIVE, "revoke": ClientStatus.REVOKED}
        self.stage.stand(client_id, statuses[name])
        return None


def test_four_processes_give_no_yes_past_the_bound_and_no_long_no(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    spawn = get_context("spawn")
    pipes = [spawn.Pipe() for _ in OFFSETS]
    processes = [
        spawn.Process(target=run, args=(tmp_path / "store.db", offset, seed, BOUND, there), daemon=True)
        for seed, (offset, (_, there)) in enumerate(zip(OFFSETS, pipes, strict=True))
    ]
    for process in processes:
        process.start()
    ends = [here for here, _ in pipes]
    assert [end.recv() for end in ends] == ["ready"] * len(OFFSETS)
    writer = Writer(store, ends)
    over = time.monotonic() + SECONDS
    while time.monotonic() < over:
        writer.step()
        time.sleep(0.02)
    judge, answers = writer.ledger.wrong, [checked for end in ends for checked in _asked(end)]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * len(OFFSETS)
    wrong = [
        (each.said, each.began, each.ended, writer.ledger.intervals.get(each.secret)) for each in answers if judge(each)
    ]
    assert not wrong, repr(wrong)
    counted = {kind: sum(each.accepted is kind for each in answers) for kind in (True, False, None)}
    print(f"{writer.histories} histories, {len(answers)} checks: {counted}")  # noqa: T201 - what a soak reports
    assert min(counted.values()) > 0


def _asked(end: Connection) -> list[Checked]:
    end.send(None)
    found: list[Checked] = end.recv()
    return found
