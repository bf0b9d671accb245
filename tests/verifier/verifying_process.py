"""A verifier in an operating system's process of its own, over a store that others write: what test_processes.py runs.

Its clock is off, its way to the store is cut now and then, its polls come late or never, and what it hears of changes
is late, out of order, or lost.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from random import Random
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import utc_now
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.domain.policy import Policy
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths
from keyturn.verifier.changes import in_thread
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.stage import CountedMac, Reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from keyturn.ports.store import Document, Query

LATEST = 3
"""Secrets of each client that are presented: current, the one before, and one that is gone for good."""

CLIENTS = 24
"""Those that were heard of first most lately are checked: after some time most are revoked."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: between which instants of the machine's monotonic clock, of which secret, and what came of it."""

    began: float
    ended: float
    secret: str = field(repr=False)
    accepted: bool | None
    """None: unavailable."""
    said: str = ""
    """The reason of the verdict, and how far its time is from the host's, in seconds."""


class Hearsay:
    """A feed of documents that a process is told of by another one."""

    def __init__(self) -> None:
        self._told: SimpleQueue[Document | None] = SimpleQueue()

    def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> Hearsay:
        assert (query.order_by, either[0]) == ("changed_at", "due_shard")
        return self

    def __iter__(self) -> Iterator[Document]:
        return iter(self._told.get, None)

    def tell(self, document: Document | None) -> None:
        self._told.put(document)

    def cancel(self) -> None:
        self.tell(None)


class Unreliable:
    """One process: a verifier and all that goes wrong around it."""

    def __init__(self, file: Path, offset: float, seed: int, policy: Policy) -> None:
        self.random = Random(seed)
        self.feed = Hearsay()
        self.store = Reachable(SqliteStore(file))
        self.held: list[str] = []
        caching = Caching(lambda: time.monotonic() + offset, background=self.late, feed=self.feed)
        self.verifier = Verifier(self.store, CountedMac(), policy, caching=caching)

    def late(self, act: Callable[[], None]) -> None:
        """Run what is to run in the background: soon, late, or never."""
        chance = self.random.random()
        if act.__name__ == "<lambda>" or chance < 0.5:  # a session of the feed is never lost: what it hears is
            in_thread(act)
        elif chance < 0.75:
            timer = threading.Timer(self.random.uniform(0.1, 1.5), act)
            timer.daemon = True
            timer.start()

    def told(self, client_id: str) -> None:
        """Be told of a change: now, later in another order, or not at all."""
        self.held.append(client_id)
        self.random.shuffle(self.held)
        while self.held and self.random.random() < 0.5:
            path = paths.client(self.held.pop())
            if self.random.random() < 0.7:
                self.feed.tell(self.store.store.get([path])[path])

    def check(self, client_id: str, secret: str) -> Checked:
        began = time.monotonic()
        try:
            verdict = self.verifier.check(client_id, secret)
        except StoreUnavailable:
            return Checked(began, time.monotonic(), secret, None)
        said = f"{verdict.reason} at {(verdict.now - utc_now()).total_seconds():+.3f} s"
        return Checked(began, time.monotonic(), secret, verdict.accepted, said)

    def maybe_cut(self) -> None:
        """Cut the way to the store for a while, or mend it."""
        if self.random.random() < (0.2 if self.store.down else 0.02):
            self.store.down = not self.store.down


def run(file: Path, offset: float, seed: int, bound: int, news: Connection) -> None:
    """Check what `news` tells of (client and secret, "" for another change) until None comes; send what came of it."""
    process = Unreliable(file, offset, seed, Policy(max_stale_seconds=bound))
    secrets: dict[str, list[str]] = {}
    checked: list[Checked] = []
    news.send("ready")
    while True:
        while news.poll():
            told = news.recv()
            if told is None:
                process.verifier.close()
                news.send(checked)
                return
            client_id, secret = told
            secrets[client_id] = [*secrets.get(client_id, []), *([secret] if secret else [])][-LATEST:]
            process.told(client_id)
        process.maybe_cut()
        lately = list(secrets)[-CLIENTS:]
        for client_id in process.random.sample(lately, min(4, len(lately))):
            checked.extend(process.check(client_id, secret) for secret in secrets[client_id])
        time.sleep(0.002)
