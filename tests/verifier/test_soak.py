"""Many checks while every one of 100 clients gets a new secret every second: no wrong verdict, and memory stays flat.

VERIFIER_CHECKS sets how many (`make soak`: 10 000 000).
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.domain.policy import Policy
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.stage import CountedMac, RealClock, Stage

CHECKS = int(os.environ.get("VERIFIER_CHECKS", "30000"))
CLIENTS = 100
BOUND, SHARED = 2, 1.0
BATCH = 300
"""Checks between two rotations at least, so that a slow machine does not only rotate."""
REMEMBERED = 6
"""Secrets of each client; the first of them is gone for longer than the bound."""
FLAT_BYTES = 8 * 1024 * 1024


@dataclass
class Issued:
    """One secret, and between which instants its promotion, and what ended it, came."""

    secret: str = field(repr=False)
    promoted: float
    gone: float = float("inf")


@dataclass
class Turned:
    """A client whose secret is turned over once a second."""

    client_id: str
    issued: deque[Issued] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def turn(self, stage: Stage) -> None:
        """Promote a new secret; the one before stays in grace, the one before that is gone."""
        secret = stage.promote(self.client_id, 60)
        now = time.monotonic()
        if len(self.issued) > 1:
            self.issued[-2].gone = now
        self.issued.append(Issued(secret, now))
        stage.read.clear()
        stage.secrets.clear()


@dataclass
class Soak:
    """Checks and rotations in turns, in real time, and what came of them."""

    stage: Stage
    verifier: Verifier
    clients: list[Turned]
    random: Random = field(default_factory=lambda: Random(5))
    accepted: int = 0
    refused: int = 0
    turns: int = 0
    resident: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Check CHECKS times, and for long enough that some secrets are gone past the bound."""
        began, done = time.monotonic(), 0
        while done < CHECKS or self.turns < CLIENTS * (REMEMBERED + 1):
            self.turn_due(time.monotonic() - began)
            for _ in range(BATCH):
                self.check_one()
            done += BATCH
            if done >= len(self.resident) * max(CHECKS // 20, BATCH):
                self.resident.append(resident_bytes())

    def turn_due(self, elapsed: float) -> None:
        if self.turns < elapsed * CLIENTS:
            self.clients[self.turns % CLIENTS].turn(self.stage)
            self.turns += 1

    def check_one(self) -> None:
        client = self.clients[int(self.random.random() * CLIENTS)]
        chance = self.random.random()
        # A refusal is never kept: it costs as much as fifty that are.
        at = -1 if chance < 0.7 else -2 if chance < 0.998 else int(chance * 1e6) % len(client.issued)
        issued = client.issued[at]
        began = time.monotonic()
        accepted = self.verifier.check(client.client_id, issued.secret).accepted
        if accepted:
            self.accepted += 1
            assert began <= issued.gone + BOUND
        else:
            self.refused += 1
            assert issued.gone < float("inf") or began <= issued.promoted + SHARED


def resident_bytes() -> int:
    """Return how much of this process is in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_no_wrong_verdict_and_flat_memory(tmp_path: Path) -> None:
    stage = Stage(policy=Policy(max_stale_seconds=BOUND), clock=RealClock())
    stage.store = SqliteStore(tmp_path / "store.db")
    verifier = Verifier(stage.store, CountedMac(), stage.policy, caching=Caching())
    clients = [Turned(f"client-{number:03d}") for number in range(CLIENTS)]
    for client in clients * 2:
        client.turn(stage)
    time.sleep(SHARED)
    soak = Soak(stage, verifier, clients)
    began = time.monotonic()
    soak.run()
    spent = time.monotonic() - began
    mebibytes = [count >> 20 for count in (soak.resident[0], soak.resident[-1])]
    told = f"{soak.accepted} accepted, {soak.refused} refused, {soak.turns} rotations in {spent:.0f} s; {mebibytes} MiB"
    print(told)  # noqa: T201 - what a soak reports
    assert soak.refused > 0
    settled = soak.resident[len(soak.resident) // 3 :]
    assert max(settled) - min(settled) < FLAT_BYTES
