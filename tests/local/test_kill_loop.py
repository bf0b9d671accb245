"""`keyturn up` is killed with SIGKILL in a loop during 50 rotations by real devices: none is lost, nobody locked out.

`KILL_LOOP_SEED` repeats a run's choices (not its timing).
"""

from __future__ import annotations

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


ROTATIONS = 50


def rotations_of(pair: Pair, number: int) -> list[str]:
    return [pair.rotate(turn) for turn in range(number, ROTATIONS, WORKERS)]


def test_no_rotation_is_lost_and_no_client_locked_out(tmp_path: Path) -> None:
    rng, holdings = random.Random(SEED), Holdings()
    machine = Machine(tmp_path)
    machine.start()
    try:
        machine.wait_until_up()
        pairs = pairs_on(machine, holdings, rng)
        with (
            Prober(ApiClient(machine.url), holdings) as prober,
            Killer(machine, rng) as killer,
            ThreadPoolExecutor(WORKERS) as pool,
        ):
            futures = [pool.submit(rotations_of, pair, number) for number, pair in enumerate(pairs)]
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
    assert len(outcomes) == ROTATIONS
    assert set(outcomes) <= {"promoted", "canceled", "expired"}
    assert outcomes.count("promoted") > ROTATIONS // 3  # one in seven is canceled on purpose
    assert prober.locked_out == []
    assert killer.kills > 5
    assert prober.verdicts > ROTATIONS
    diagnosis = diagnose(open_folder(machine.data))
    assert diagnosis.breaches == ()
    assert (diagnosis.examination.counts["rotations"], diagnosis.examination.unstable) == (ROTATIONS, ())


def is_quiet(data: Path) -> bool:
    depth = outbox_of(open_folder(data)).depth()
    assert depth.dead == 0
    return depth.waiting == depth.leased == 0
