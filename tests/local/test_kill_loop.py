"""`keyturn up` is killed with SIGKILL 16 times during rotations by real devices: none is lost, no client locked out.

An integrator's checks go on meanwhile. Each gets a verdict, no connection, or 503. `KILL_LOOP_SEED` repeats a run's
choices (not its timing), and `KILL_LOOP_KILLS` is the number of kills.
"""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from keyturn.device.api.client import ApiClient
from keyturn.local.doctor import diagnose, open_folder, outbox_of

from tests.local.kill_loop import SEED, WORKERS, Pair, Prober, pairs_on
from tests.local.real_machine import Holdings, Killer, Machine
from tests.local.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


KILLS = int(os.environ.get("KILL_LOOP_KILLS") or 16)
LEAST_ROTATIONS = 6
"""How many rotations each pair makes, however fast the kills come."""


def rotations_of(pair: Pair, killer: Killer) -> list[str]:
    outcomes: list[str] = []
    while len(outcomes) < LEAST_ROTATIONS or not killer.is_done:
        outcomes.append(pair.rotate(len(outcomes)))
    return outcomes


def test_no_rotation_is_lost_and_no_client_locked_out(tmp_path: Path) -> None:
    rng, holdings = random.Random(SEED), Holdings()
    machine = Machine(tmp_path)
    machine.start()
    try:
        machine.wait_until_up()
        pairs = pairs_on(machine, holdings, rng)
        with (
            Prober(ApiClient(machine.url), holdings) as prober,
            Killer(machine, rng, enough=KILLS) as killer,
            ThreadPoolExecutor(WORKERS) as pool,
        ):
            futures = [pool.submit(rotations_of, pair, killer) for pair in pairs]
            while not all(future.done() for future in futures) and killer.failure is None:
                assert diagnose(open_folder(machine.data)).breaches == (), f"KILL_LOOP_SEED={SEED}"
                time.sleep(3)
        assert killer.failure is None
        outcomes = [outcome for future in futures for outcome in future.result()]
        until(lambda: is_quiet(machine.data))
        assert machine.stop() == 0
    finally:
        machine.end()
    print(f"KILL_LOOP_SEED={SEED}: {killer.kills} kills, {prober.verdicts} verdicts")  # noqa: T201 - what repeats a failed run
    assert set(outcomes) <= {"promoted", "canceled", "expired"}
    assert outcomes.count("promoted") > len(outcomes) // 3  # one in seven is canceled on purpose
    assert prober.locked_out == []
    assert killer.kills == KILLS
    assert prober.verdicts > KILLS
    assert prober.refused <= {503}
    diagnosis = diagnose(open_folder(machine.data))
    assert diagnosis.breaches == ()
    assert (diagnosis.examination.counts["rotations"], diagnosis.examination.unstable) == (len(outcomes), ())


def is_quiet(data: Path) -> bool:
    depth = outbox_of(open_folder(data)).depth()
    assert depth.dead == 0
    return depth.waiting == depth.leased == 0
