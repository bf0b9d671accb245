"""Rows: the cost of a sweep follows the due clients, not all clients: the same 100 due among 100 000 and among 1 000.

Embedded store, the real use case, every sweep settles its 100 clients. One sweep of each counts the calls. Then
15 sweeps of each are timed in turns, after a warm-up of 3. The ratio is the median of each turn's ratio, so that a busy
moment of the disk affects both sides. Making clients due again is not timed.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.ports.store import Databases

from bench.population import client_ids, fill, make_due
from bench.rows import Measured
from bench.timing import milliseconds, samples
from bench.watched_store import WatchedStore

if TYPE_CHECKING:
    from keyturn.adapters.sqlite.store import SqliteStore

FEW = 1_000
MANY = 100_000
DUE = 100
ROUNDS = 15
WARM_UP = 3


class NotSweptError(Exception):
    """A sweep settled other clients than the due ones."""


@dataclass(frozen=True)
class Swept:
    """A suite with a counting control store of `clients` clients."""

    suite: Suite
    store: WatchedStore
    due: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, clients: int, due: int) -> Swept:
        """Fill a fresh store in `folder`. The due clients are spread evenly over the first 1 000."""
        bare = Suite(Settings(Stage.LOCAL, folder))
        control = cast("SqliteStore", bare.databases.control)
        fill(control, clients)
        control.checkpoint()
        watched = WatchedStore(control.file.path)
        databases = Databases(watched, bare.databases.auth, bare.databases.usage)
        suite = replace(bare, overrides=Overrides(databases=databases, bus=bare.bus, keys=bare.keys))
        return cls(suite, watched, tuple(client_ids(min(clients, FEW))[:: min(clients, FEW) // due][:due]))

    def sweep(self) -> float:
        """Make the same clients due, sweep once, and return its milliseconds."""
        make_due(self.store, self.due)
        self.store.calls.clear()
        return milliseconds(self._sweep)

    def _sweep(self) -> None:
        swept = self.suite.distribution.sweep()
        if (swept.settled, swept.republished, swept.failed) != (len(self.due), 0, 0):
            raise NotSweptError


def sweep_reads(_folder: Path) -> Measured:
    """Return the reads of one sweep among 100 000 over those among 1 000. Reports calls of each kind."""
    counts = {}
    for clients, swept in _both().items():
        swept.sweep()  # the first one wires what it needs
        swept.sweep()
        counts[clients] = swept.store.counted()
    reads = {clients: values["get"] + values["query"] for clients, values in counts.items()}
    parts = {f"among_{clients}_{name}s": float(n) for clients, values in counts.items() for name, n in values.items()}
    return Measured(reads[MANY] / reads[FEW], parts)


def sweep_time(_folder: Path) -> Measured:
    """Return the time of one sweep among 100 000 over that among 1 000."""
    acts = {str(clients): swept.sweep for clients, swept in _both().items()}
    times = samples(acts, rounds=ROUNDS, warm_up=WARM_UP)
    ratios = [many / few for many, few in zip(times[str(MANY)], times[str(FEW)], strict=True)]
    return Measured(median(ratios), {f"among_{clients}_ms": median(values) for clients, values in times.items()})


_FOLDER = functools.cache(lambda: tempfile.TemporaryDirectory(prefix="keyturn-bench-sweep-"))


@functools.cache
def _both() -> dict[int, Swept]:
    # Filled once for both rows. The folder is deleted when the process ends.
    return {clients: Swept.of(_made(clients), clients, DUE) for clients in (FEW, MANY)}


def _made(clients: int) -> Path:
    folder = Path(_FOLDER().name) / str(clients)
    folder.mkdir()
    return folder
