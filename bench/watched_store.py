"""The embedded store with a record of each call: its name, the time it returned, and its writes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.triggers import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from keyturn.ports.store import Document, Query, Snapshot, Write


@dataclass(frozen=True, slots=True)
class StoreCall:
    """One completed call: `get`, `query`, `commit` or `publish`. `at` is of time.perf_counter, in seconds."""

    name: str
    at: float
    writes: tuple[Write, ...] = field(default=(), repr=False)


class WatchedStore(SqliteStore):
    """The store over the file at `path`, with the suite's triggers."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, triggers=TRIGGERS)
        self.calls: list[StoreCall] = []

    def counted(self) -> Mapping[str, int]:
        """Return how often each call was made."""
        return Counter(call.name for call in self.calls)

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents."""
        snapshot = super().get(paths)
        self._note("get")
        return snapshot

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page."""
        snapshot = super().query(query)
        self._note("query")
        return snapshot

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Apply all writes."""
        receipt = super().commit(writes, basis=basis)
        self._note("commit", writes)
        return receipt

    def publish(self, messages: Sequence[tuple[str, str, Mapping[str, str]]]) -> None:
        """Put messages in the outbox."""
        super().publish(messages)
        self._note("publish")

    def _note(self, name: str, writes: Sequence[Write] = ()) -> None:
        self.calls.append(StoreCall(name, time.perf_counter(), tuple(writes)))
