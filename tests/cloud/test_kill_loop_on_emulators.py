"""`keyturn up --emulators` is killed with SIGKILL in a loop during 20 rotations by real devices: none is lost.

What was in its memory goes with it: the sweeper publishes it again. `KILL_LOOP_SEED` repeats a run's choices.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from keyturn.device.api.client import ApiClient
from keyturn.local.doctor import diagnose, open_folder

from tests.cloud.emulated_machine import emulated_machine
from tests.local.kill_loop import SEED, WORKERS, Pair, Prober, pairs_on
from tests.local.real_machine import Holdings, Killer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.tier("java"), pytest.mark.xdist_group("machine_on_emulators")]

ROTATIONS = 20


def rotations_of(pair: Pair, number: int) -> list[str]:
    return [pair.rotate(turn) for turn in range(number, ROTATIONS, WORKERS)]


def test_no_rotation_is_lost_and_no_client_locked_out(tmp_path: Path) -> None:
    rng, holdings = random.Random(SEED), Holdings()
    with emulated_machine(tmp_path) as machine:
        machine.start()
        machine.wait_until_up()
        pairs = pairs_on(machine, holdings, rng)
        with (
            Prober(ApiClient(machine.url), holdings) as prober,
            Killer(machine, rng, mean_life_seconds=1.0) as killer,
            ThreadPoolExecutor(WORKERS) as pool,
        ):
            outcomes = [outcome for found in pool.map(rotations_of, pairs, range(WORKERS)) for outcome in found]
        diagnosis = diagnose(open_folder(machine.data))
        assert machine.stop() == 0
    print(f"KILL_LOOP_SEED={SEED}: {killer.kills} kills, {prober.verdicts} verdicts")  # noqa: T201 - what repeats a failed run
    assert killer.failure is None
    assert len(outcomes) == ROTATIONS
    assert set(outcomes) <= {"promoted", "canceled", "expired"}
    assert outcomes.count("promoted") > ROTATIONS // 3  # one in seven is canceled on purpose
    assert prober.locked_out == []
    assert killer.kills > 2
    assert diagnosis.breaches == ()
    assert diagnosis.examination.counts["rotations"] == ROTATIONS
