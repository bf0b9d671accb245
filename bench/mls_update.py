"""Row: our path update of 200 members, against the time the package `rfc9420` takes to create that group.

The package adds all 199 members in one commit, its fastest way. Other implementations refuse its path commits, so its
own update is no valid comparison. Key packages are made and parsed before the clock starts. Medians of 7 samples each,
in turns, after a warm-up.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Protocol

from bench.mls_rooms import LARGE, newcomer, room, update_of
from bench.rows import Measured
from bench.timing import milliseconds, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ROUNDS = 7


class WrongSizeError(Exception):
    """The other package's group did not come to the members that were added."""


class _Welcome(Protocol):
    @property
    def secrets(self) -> Sequence[object]: ...


def update_against_founding(_folder: Path) -> Measured:
    """Return the time of our update over the other package's group creation. Reports our Welcome and state."""
    ours = room(LARGE)
    acts: dict[str, Callable[[], object]] = {"update": partial(update_of, ours.group), "founding": _founding()}
    timed = {name: partial(milliseconds, act) for name, act in acts.items()}
    times = {name: median(durations) for name, durations in samples(timed, rounds=ROUNDS, warm_up=1).items()}
    parts = {
        "update_ms": times["update"],
        "rfc9420_create_and_add_ms": times["founding"],
        "update_bytes": len(update_of(ours.group)),
        "welcome_bytes": len(ours.welcome),
        "state_bytes": len(ours.group.to_bytes()),
    }
    return Measured(times["update"] / times["founding"], parts)


def _founding() -> Callable[[], None]:
    """Return an act in which `rfc9420` creates a group and adds all others in one commit."""
    from rfc9420 import (  # noqa: PLC0415 - only this row needs the package, of the extra `bench`
        DefaultCryptoProvider,
        GroupConfig,
        MemoryStorageProvider,
    )
    from rfc9420.api.session import MLSGroupSession  # noqa: PLC0415 - the same
    from rfc9420.messages.key_packages import KeyPackage  # noqa: PLC0415 - the same

    config = GroupConfig(crypto_provider=DefaultCryptoProvider(), storage_provider=MemoryStorageProvider())
    founder, seed = newcomer(0)
    own = KeyPackage.deserialize(founder.key_package)
    others = [KeyPackage.deserialize(newcomer(number)[0].key_package) for number in range(1, LARGE)]

    def durations() -> None:
        session = MLSGroupSession.create_with_config(config, b"bench", own)
        for package in others:
            # The package leaves its own proposals out of its commit unless they are handed to it like a peer's.
            session.process_proposal(session.add_member(package, seed), 0)
        _check(session.commit(seed)[1])

    return durations


def _check(welcomes: Sequence[_Welcome]) -> None:
    if sum(len(welcome.secrets) for welcome in welcomes) != LARGE - 1:
        raise WrongSizeError("the other package did not add every member")
