"""Random histories of a client before four verifiers: none says yes later than the bound allows, none no for long.

What happens: checks of the last three secrets, promotions (with grace or without), rollbacks, retirements, suspensions,
revocations, commits that the store takes long over; polls that are delayed or dropped, changes that are heard of late,
twice, in another order or never; stores that cannot be reached, time that passes; the processes' clocks are ten minutes
apart. VERIFIER_HISTORIES sets how many are played (`make soak`: 100 000).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.model import ClientStatus
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths

from tests.verifier.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.ports.store import Document

    from tests.verifier.stage import Process

HISTORIES = int(os.environ.get("VERIFIER_HISTORIES", "1000"))
PARTS = 4
STEPS = 14
BOUND, SHARED, TICK = 5.0, 1.0, 0.4
OFFSETS = (0.0, 600.0, -600.0, 7.0)


@dataclass
class History:
    """One client, four verifiers, and when each secret was last and first live, in seconds of store time."""

    random: Random
    stage: Stage = field(default_factory=Stage)
    ever: list[str] = field(default_factory=list)
    last_live: dict[str, float] = field(default_factory=dict)
    live_since: dict[str, float] = field(default_factory=dict)
    yes: int = 0
    no: int = 0
    unavailable: int = 0

    revoked: bool = False

    def __post_init__(self) -> None:
        self.processes = [self.stage.process(offset) for offset in OFFSETS]
        self.told: list[list[Document]] = [[] for _ in self.processes]
        self.promote()

    def play(self) -> None:
        acts: list[Callable[[], None]] = [
            *(self.check_all,) * 6,
            *(self.wait,) * 4,
            *(self.poll,) * 3,
            *(self.outage,) * 2,
            *(self.promote,) * 2,
            *(self.hear,) * 2,
            self.rollback,
            self.retire,
            self.stand,
            *(self.revoke,) * (self.random.random() < 0.25),
        ]
        for _ in range(STEPS):
            self.random.choice(acts)()
            self.note()
        self.check_all()

    def note(self) -> None:
        """Note what is live now, and since when without a break."""
        live, now = self.stage.live("acme"), self.stage.clock.seconds
        self.live_since = {secret: self.live_since.get(secret, now) for secret in live}
        self.last_live.update(dict.fromkeys(live, now))

    # --- what happens ------------------------------------------------------------------------------------------------

    def promote(self) -> None:
        if not self.revoked:
            self.ever.append(self.stage.promote("acme", self.random.choice((0, 3, 30)), worked=self._worked()))
            self.note()
            self.tell()

    def rollback(self) -> None:
        if not self.revoked:
            self.stage.rollback("acme")
            self.tell()

    def retire(self) -> None:
        if not self.revoked:
            self.stage.retire("acme", worked=self._worked())
            self.tell()

    def stand(self) -> None:
        if not self.revoked:
            active = self.stage.state("acme").client.status is ClientStatus.ACTIVE
            self.stage.stand("acme", ClientStatus.SUSPENDED if active else ClientStatus.ACTIVE)
            self.tell()

    def revoke(self) -> None:
        """Revoke the client: nothing of it ever verifies again."""
        self.revoked = True
        self.stage.stand("acme", ClientStatus.REVOKED)
        self.tell()

    def tell(self) -> None:
        """Send every process word of what the client is now; when it comes is another matter."""
        path = paths.client("acme")
        for told in self.told:
            told.append(self.stage.store.get([path])[path])

    def hear(self) -> None:
        """Let some of the word that is on its way come to one process, in any order; some of it is lost."""
        at = self.random.randrange(len(self.processes))
        self.random.shuffle(self.told[at])
        for _ in range(self.random.randint(0, len(self.told[at]))):
            document = self.told[at].pop()
            if self.random.random() < 0.7:
                self.processes[at].verifier._changes._note(document)

    def _worked(self) -> float:
        return self.random.choice((0, 0, 1, 8, 29))

    def outage(self) -> None:
        process = self.random.choice(self.processes)
        process.store.down = not process.store.down

    def poll(self) -> None:
        process = self.random.choice(self.processes)
        if self.random.random() < 0.2:
            process.waiting.clear()
        else:
            process.poll()

    def wait(self) -> None:
        """Let time pass in small steps, so that what time alone brings is noted when it comes."""
        for _ in range(self.random.choice((1, 3, 12, 30))):
            self.stage.clock.seconds += self.random.choice((0.2, 0.4))
            self.note()

    # --- what must hold ----------------------------------------------------------------------------------------------

    def check_all(self) -> None:
        for process in self.processes:
            for secret in self.ever[-3:]:
                self.check(process, secret)

    def check(self, process: Process, secret: str) -> None:
        self.note()
        now = self.stage.clock.seconds
        try:
            accepted = process.verifier.check("acme", secret).accepted
        except StoreUnavailable:
            self.unavailable += 1
            assert process.store.down
            return
        if accepted:
            self.yes += 1
            assert now - self.last_live.get(secret, float("-inf")) <= BOUND + TICK
        else:
            self.no += 1
            assert now - self.live_since.get(secret, now) <= SHARED + TICK


@pytest.mark.parametrize("part", range(PARTS))
def test_no_yes_past_the_bound_and_no_long_no(part: int) -> None:
    counted = [0, 0, 0]
    for seed in range(part, HISTORIES, PARTS):
        history = History(Random(seed))
        try:
            history.play()
        except AssertionError:
            pytest.fail(f"history {seed}")
        counted = [a + b for a, b in zip(counted, (history.yes, history.no, history.unavailable), strict=True)]
    assert min(counted) > HISTORIES // PARTS
