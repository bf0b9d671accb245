"""Rows: how MLS costs grow with the group. Sending from a saved state, committing many adds, and a path update.

Medians, in turns, after a warm-up. The groups are the worst case for a path update: most parent nodes are blank, so
that every leaf gets its own ciphertext (RFC 9420 §4.1.1). Update proposals blank their path, and the service commits
them, so its groups look like that (docs/scale.md).
"""

from __future__ import annotations

import functools
import os
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from keyturn.mls import Group

from bench.mls_rooms import LARGE, NOTICE, NOW, SMALL, newcomer, room, update_of
from bench.rows import Measured
from bench.timing import milliseconds, samples

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 1000
MIDDLE = 50
BATCH = 20


def send_saved(_folder: Path) -> Measured:
    """Return the time to load a saved state, encrypt one notice and save again: 200 members against 3."""
    saved = {size: room(size).group.to_bytes() for size in (SMALL, MIDDLE, LARGE)}
    acts = {str(size): partial(milliseconds, partial(_send_batch, state)) for size, state in saved.items()}
    times = {size: min(durations) for size, durations in samples(acts, rounds=61, warm_up=5).items()}
    parts = {f"members_{size}_ms": times[str(size)] / BATCH for size in saved}
    return Measured(times[str(LARGE)] / times[str(SMALL)], parts)


def _send_batch(saved: bytes) -> None:
    for _ in range(BATCH):
        Group.from_bytes(saved, now=NOW).encrypt(NOTICE, random=os.urandom)[0].to_bytes()


def commit_adds(_folder: Path) -> Measured:
    """Return the time of a commit over pending adds: 200 against 50. Choosing among them must stay linear."""
    groups = {count: _with_pending_adds(count) for count in (MIDDLE, LARGE)}
    acts = {str(count): partial(milliseconds, partial(_commit_all, group)) for count, group in groups.items()}
    times = {count: median(durations) for count, durations in samples(acts, rounds=7, warm_up=1).items()}
    parts = {f"adds_{count}_ms": times[str(count)] for count in groups}
    return Measured(times[str(LARGE)] / times[str(MIDDLE)], parts)


@functools.cache
def _with_pending_adds(count: int) -> Group:
    group = room(SMALL).group
    for number in range(count):
        package = newcomer(HUGE + number)[0].key_package
        group, _ = group.propose_add(package, random=os.urandom, now=NOW)
    return group


def _commit_all(group: Group) -> None:
    commit = group.commit(random=os.urandom, now=NOW, path=False)
    if len(commit.group.members) != SMALL + len(group.pending):
        raise ValueError("a pending add was left out")


def update_growth(_folder: Path) -> Measured:
    """Return the cost of a path update, 1000 members against 200: the worse ratio of time and bytes."""
    groups = {size: room(size).group for size in (MIDDLE, LARGE, HUGE)}
    acts = {str(size): partial(milliseconds, partial(update_of, group)) for size, group in groups.items()}
    times = {size: median(durations) for size, durations in samples(acts, rounds=7, warm_up=1).items()}
    sizes = {size: len(update_of(group)) for size, group in groups.items()}
    parts = {f"members_{size}_ms": times[str(size)] for size in groups}
    parts |= {f"members_{size}_bytes": float(length) for size, length in sizes.items()}
    parts |= {f"state_{size}_bytes": float(len(group.to_bytes())) for size, group in groups.items()}
    parts |= {f"welcome_{size}_bytes": float(len(room(size).welcome)) for size in groups}
    parts["time_ratio"] = times[str(HUGE)] / times[str(LARGE)]
    parts["bytes_ratio"] = sizes[HUGE] / sizes[LARGE]
    return Measured(max(parts["time_ratio"], parts["bytes_ratio"]), parts)
