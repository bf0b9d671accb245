"""Telemetry: which version authenticated, when, for which caller; counted here, written by a thread of its own.

Rules:

1. A request pays for one append to a queue. Everything else is done beside it, every few seconds.
2. What is written is added to what is stored, in a commit that also numbers it in this process's own document: a commit
   whose outcome is unknown is looked up, and added once. Processes are spread over a few documents a version.
3. A process that dies takes its last seconds along. It says so by not saying goodbye: its document (`verifiers/…`) has
   until when everything is counted, and without such a word nobody is taken to be silent (domain/usage_silence.py).
4. Everything is bounded: queues, versions waiting, callers of a version. What had to be dropped is owned up to.
5. No secret, no address: a client's id, a version's id, a tag.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import Broken
from keyturn.ports.store import Delete, LostRace, StoreError, put
from keyturn.records.codec import from_data, to_data
from keyturn.records.usage import (
    USAGE_SHARDS,
    USE_RETENTION,
    ClientFailures,
    VerifierLife,
    VersionUse,
    merge_failures,
    merge_uses,
    verifier_path,
)
from keyturn.verifier.usage_buffer import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Snapshot, Store, Write
    from keyturn.verifier.verdict import Verdict

_log = logging.getLogger("keyturn")

TICK_SECONDS: Final = 0.5
"""How often the queue is emptied."""
FLUSH_SECONDS: Final = 10.0
"""How long what was counted waits to be written."""
HEARTBEAT_SECONDS: Final = 60.0
"""How often a process says that it is there, when it has nothing to write."""
FLUSH_EVENTS: Final = 50_000
"""So many uses are written at once, however short the wait was."""
MOST_QUEUED: Final = 300_000
MOST_IN_COMMIT: Final = 100
LONGEST_ID: Final = 128
"""Of what was presented as a client's id, no more waits in memory: no client has a longer one."""
ATTEMPTS: Final = 6
_MARGIN = timedelta(seconds=2)
"""A verdict's `now` may be a second old, and its request is a moment behind it."""


def in_thread(run: Callable[[], None]) -> None:
    """Run what writes beside everything else; it does not keep the process from ending."""
    threading.Thread(target=run, name="keyturn-telemetry", daemon=True).start()


@dataclass(slots=True)
class _Batch:
    """What one commit writes: documents by path, under the number of its flush."""

    number: int
    uses: Mapping[str, VersionUse | ClientFailures]


class Telemetry:
    """An observer of one process's verifier. Any number of threads may tell it; `monotonic` paces its own.

    `resolved` makes tags that can be stored of those that come (`Callers.resolved`); it may take its time.
    """

    def __init__(
        self,
        usage: Store,
        environment: Environment,
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None] = in_thread,
        resolved: Callable[[str], str] = str,
    ) -> None:
        self._usage = usage
        self._background = background
        self._resolved = resolved
        self._environment = environment
        self._monotonic = monotonic
        self._process = base64url_encode(environment.random(12))
        self._shard = environment.random(1)[0] % USAGE_SHARDS
        self._used: deque[tuple[Verdict, str]] = deque(maxlen=MOST_QUEUED)
        self._failed: deque[tuple[str, Verdict]] = deque(maxlen=MOST_QUEUED // 10)
        self._tally = Tally()
        self._batch: _Batch | None = None
        self._flushes = 0
        self._lost_to: datetime | None = None
        self._flushing = threading.Lock()
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._started = False
        self.junk = 0
        """Refusals that belong to no transition of a client: counted here and nowhere else."""

    # --- in the request's way ----------------------------------------------------------------------------------------

    def __call__(self, verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        """Take note of one check."""
        del secret
        if verdict.accepted:
            self._used.append((verdict, caller))
        else:  # every refusal by the same path: nobody is to tell from the time whether there is such a client
            self._failed.append((client_id[:LONGEST_ID], verdict))
        if not self._started:
            self.start()

    def start(self) -> None:
        """Start what writes, once."""
        with self._starting:
            if not self._started:
                self._background(self._run)
                self._started = True  # not before: where no thread is to be had, the next check asks again

    # --- beside it ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._attempt()  # at once: from now on this process is known to count
        now = self._monotonic()
        flush_at, beat_at = now + FLUSH_SECONDS, now + HEARTBEAT_SECONDS
        while not self._stop.wait(TICK_SECONDS):
            now = self._monotonic()
            self._drain()
            waiting = bool(self._tally) or self._batch is not None
            if (waiting and (now >= flush_at or self._tally.events >= FLUSH_EVENTS)) or now >= beat_at:
                self._attempt()
                flush_at, beat_at = now + FLUSH_SECONDS, now + HEARTBEAT_SECONDS

    def _attempt(self) -> None:
        try:
            self.flush()
        except StoreError as error:
            _log.warning("telemetry waits for its store: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the thread goes on: the next flush may fare better
            _log.error("telemetry could not be written: %s", type(error).__name__)

    def flush(self, *, ending: bool = False) -> None:
        """Write everything that was counted so far; `StoreError` when that can't be: then it waits.

        `ending` says goodbye: this process counts no more.
        """
        with self._flushing:
            began = self._monotonic()
            self._drain()
            if self._batch is not None:
                self._write(self._batch, None)
                self._batch = None
            while True:
                uses = self._tally.taken(MOST_IN_COMMIT, self._shard, USE_RETENTION)
                self._flushes += 1
                self._batch = _Batch(self._flushes, uses)
                is_last = not self._tally
                self._write(self._batch, began if is_last else None, ending=ending)
                self._batch = None
                if is_last:
                    return

    def close(self) -> None:
        """Write what is left and say goodbye, as well as may be; nothing is counted from now on."""
        with self._starting:
            was_at_work = self._started and not self._stop.is_set()
            self._started = True
            self._stop.set()
        if not was_at_work:
            return
        try:
            self.flush(ending=True)
            self._buried()
        except Exception as error:  # noqa: BLE001 - the end of a process is no place to fail
            _log.warning("telemetry lost its last seconds: %s", type(error).__name__)

    def _buried(self) -> None:
        """Let the shard's document speak for this process, too: there is not one for each that ever lived."""
        own, shared = verifier_path(self._process), verifier_path(f"ended-{self._shard}")
        for _ in range(ATTEMPTS):
            snapshot = self._usage.get([own, shared])
            life, version = snapshot[own].data, snapshot[own].version
            if life is None or version is None:
                return
            known = snapshot[shared].data
            ended = _together(from_data(VerifierLife, life), from_data(VerifierLife, known) if known else None)
            buried = replace(ended, process=shared.rpartition("/")[2])
            try:
                self._usage.commit([Delete(own, version), put(snapshot[shared], to_data(buried))])
            except LostRace:
                continue
            return

    def _drain(self) -> None:
        with self._tally.lock:
            for _ in range(len(self._failed)):
                client_id, verdict = self._failed.popleft()
                if verdict.in_transition:
                    self._tally.fail(client_id, verdict.now)
                else:
                    self.junk += 1
            full = len(self._used) >= MOST_QUEUED
            for verdict, caller, count in _counted(self._used):
                kept = self._tally.use(verdict, self._resolved(caller), count)
                if full or not kept:
                    self._lost_to = verdict.now + _MARGIN

    def _write(self, batch: _Batch, began: float | None, *, ending: bool = False) -> None:
        """Add one batch to what is stored; `began` is when the queue was emptied for the last one of a flush."""
        life = verifier_path(self._process)
        for turn in range(ATTEMPTS):
            snapshot = self._usage.get([life, *batch.uses])
            if self._is_written(snapshot, batch.number):
                return
            counted_to = None if began is None else self._counted_to(snapshot, began)
            sums = self._sums(snapshot, batch)
            try:
                self._usage.commit([self._life(snapshot, batch.number, counted_to, ending=ending), *sums])
            except LostRace:
                self._environment.sleep(0.01 * 2**turn * (1 + self._environment.random(1)[0] / 256))
            else:
                return
        raise StoreError("telemetry lost too many races")

    def _is_written(self, snapshot: Snapshot, number: int) -> bool:
        data = snapshot[verifier_path(self._process)].data
        return data is not None and cast("int", data["flush"]) >= number

    def _counted_to(self, snapshot: Snapshot, began: float) -> datetime:
        return snapshot.read_time - timedelta(seconds=self._monotonic() - began) - _MARGIN

    def _life(self, snapshot: Snapshot, number: int, counted_to: datetime | None, *, ending: bool) -> Write:
        document, now = snapshot[verifier_path(self._process)], snapshot.read_time
        known = from_data(VerifierLife, document.data) if document.data else None
        life = VerifierLife(
            process=self._process,
            flush=number,
            started_at=known.started_at if known else now,
            counted_to=counted_to or (known.counted_to if known else now - _MARGIN),
            ended_at=now if ending and counted_to else None,
            lost_to=self._lost_to,
            expires_at=now + USE_RETENTION,
        )
        return put(document, to_data(life))

    def _sums(self, snapshot: Snapshot, batch: _Batch) -> list[Write]:
        return [put(snapshot[path], to_data(self._sum(snapshot, path, use))) for path, use in batch.uses.items()]

    def _sum(self, snapshot: Snapshot, path: str, more: VersionUse | ClientFailures) -> VersionUse | ClientFailures:
        stored = snapshot[path].data
        try:
            return more if stored is None else _added(stored, more)
        except (Broken, ValueError):  # a damaged count is worth nothing, and must not stop the others
            self._lost_to = snapshot.read_time
            return more


def _together(life: VerifierLife, other: VerifierLife | None) -> VerifierLife:
    """Return what two processes that said goodbye come to: since the first of them, all counted but what was lost."""
    if other is None:
        return life
    lost = [item.lost_to for item in (life, other) if item.lost_to is not None]
    return replace(
        life,
        started_at=min(life.started_at, other.started_at),
        counted_to=max(life.counted_to, other.counted_to),
        lost_to=max(lost, default=None),
    )


def _counted(used: deque[tuple[Verdict, str]]) -> Iterator[tuple[Verdict, str, int]]:
    """Empty a queue; yield what was in it, each with how often it was. A kept verdict is one object for a second."""
    verdicts: dict[int, Verdict] = {}
    counts: dict[tuple[int, str], int] = {}
    for _ in range(len(used)):
        verdict, caller = used.popleft()
        verdicts[id(verdict)] = verdict
        key = (id(verdict), caller)
        counts[key] = counts.get(key, 0) + 1
    for (name, caller), count in counts.items():
        yield verdicts[name], caller, count


def _added(stored: Data, more: VersionUse | ClientFailures) -> VersionUse | ClientFailures:
    if isinstance(more, ClientFailures):
        return merge_failures(from_data(ClientFailures, stored), more)
    return merge_uses(from_data(VersionUse, stored), more)
