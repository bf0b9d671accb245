"""Rows: a notice costs the same for 200 members as for 3, in time and in bytes (RFC 9420 §6.3: one ciphertext for all).

A batch of 20 messages is one sample, 61 samples a size after a warm-up of 5, sizes in turns. The fastest sample counts:
encryption waits for nothing, so other load on the machine can only make a sample slower.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.mls_rooms import LARGE, SMALL, notice_of, room
from bench.rows import Measured
from bench.timing import milliseconds, samples

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.mls import Group

SIZES = (SMALL, 50, LARGE)
BATCH = 20
ROUNDS = 61
WARM_UP = 5


def encrypt_time(_folder: Path) -> Measured:
    """Return the time to encrypt a notice, 200 members against 3 (50 is reported)."""
    acts = {str(size): partial(milliseconds, partial(_batch, room(size).group)) for size in SIZES}
    times = {size: min(durations) for size, durations in samples(acts, rounds=ROUNDS, warm_up=WARM_UP).items()}
    parts = {f"members_{size}_ms": times[str(size)] / BATCH for size in SIZES}
    return Measured(times[str(LARGE)] / times[str(SMALL)], parts)


def encrypt_bytes(_folder: Path) -> Measured:
    """Return the bytes of an encrypted notice, 200 members against 3 (50 is reported)."""
    lengths = {size: len(notice_of(room(size).group)) for size in SIZES}
    return Measured(lengths[LARGE] / lengths[SMALL], {f"members_{size}_bytes": lengths[size] for size in SIZES})


def _batch(group: Group) -> None:
    for _ in range(BATCH):
        notice_of(group)
