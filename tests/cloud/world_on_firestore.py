"""The whole suite over the Firestore emulator: its own time, shifted, so that no test waits for a grace to end."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keyturn.adapters.document_values import utc_now
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.entry.composition import suite as wiring
from keyturn.ports.effects import Environment

from tests.adapters.firestore.rpc_watch import Counter
from tests.world import Clock, WatchedStore, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from keyturn.entry.composition.suite import Suite
    from keyturn.ports.store import Document, Query, Snapshot, Store, Write


class ShiftedClock(Clock):
    """The host's time, and what a test advanced it by."""

    def __init__(self) -> None:
        self.shift = timedelta()

    @property
    def now(self) -> datetime:  # type: ignore[override]  # it passes by itself
        return utc_now() + self.shift

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.shift += timedelta(**parts)


class ShiftedStore:
    """A store on Firestore whose read and commit times are shifted like the clock."""

    def __init__(self, store: FirestoreStore, clock: ShiftedClock) -> None:
        self._store = store
        self._clock = clock

    def get(self, paths: Iterable[str]) -> Snapshot:
        snapshot = self._store.get(paths)
        return replace(snapshot, read_time=snapshot.read_time + self._clock.shift)

    @property
    def longest_commit(self) -> timedelta:
        return self._store.longest_commit

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        return self._store.commit(writes, basis=basis) + self._clock.shift

    def query(self, query: Query) -> Sequence[Document]:
        return self._store.query(query)


@dataclass
class FirestoreWorld(World):
    """A deployment over an emulator; `calls` are Firestore's, in order."""

    clock: ShiftedClock = field(default_factory=ShiftedClock)
    host: str = ""
    project: str = ""
    counter: Counter = field(default_factory=Counter)
    channel: FirestoreChannel = field(init=False)

    def __post_init__(self) -> None:
        self.channel = FirestoreChannel(emulator_host=self.host, interceptors=[self.counter])
        super().__post_init__()

    def _store(self, name: str) -> WatchedStore:
        store = FirestoreStore(self.channel, project=self.project, database=name)
        return WatchedStore(ShiftedStore(store, self.clock), self.queue)

    def new_suite(self, **stores: Store) -> Suite:
        """Return a suite that waits between lost races as long as it does in earnest."""
        self.overrides["environment"] = Environment(os.urandom, time.sleep)
        return super().new_suite(**stores)

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Collect the calls made while the context lasts."""
        before = len(self.counter.calls)
        calls: list[str] = []
        yield calls
        calls += self.counter.calls[before:]


@contextmanager
def running_on_firestore(
    folder: Path,
    host: str,
    project: str,
    **given: Any,  # noqa: ANN401 - the fields of World
) -> Iterator[FirestoreWorld]:
    """Have the doors served by a new world on the emulator while the context lasts."""
    world = FirestoreWorld(folder, "firestore", host=host, project=project, **given)
    try:
        yield world
    finally:
        wiring.use(None)
        world.channel.close()
