"""Count which version authenticated when and for which caller, and write the counts from a thread of its own.

1. A request pays for one append to a queue. Everything else happens in the background, every few seconds.
2. Counts are added to the stored ones in a commit that also numbers the flush in this process's own document. After a
   commit with an unknown outcome the number is looked up, so nothing is added twice. Processes are spread over a few
   documents per version.
3. A process that is killed loses the counts of its last seconds. Its document (`verifiers/…`) says up to which time it
   has counted completely, and whether it ended properly. Without that statement no version is taken to be silent
   (domain/usage_silence.py).
4. Queues, versions that wait, and callers per version are bounded. If counts had to be dropped, the document says so.
5. No secret and no address is stored: only client ids, version ids and tags.
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
from keyturn.verifier.usage_buffer import UsageBuffer

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
"""How long counts wait to be written."""
HEARTBEAT_SECONDS: Final = 60.0
"""How often an idle process writes its document."""
FLUSH_EVENTS: Final = 50_000
"""So many uses are written at once, however short they waited."""
MOST_QUEUED: Final = 300_000
MOST_IN_COMMIT: Final = 100
LONGEST_ID: Final = 128
"""How many characters of a presented client id are kept in memory. No client has a longer one."""
ATTEMPTS: Final = 6
_MARGIN = timedelta(seconds=2)
"""A verdict's `now` may be a second old, and its request reaches the queue a moment later."""


def in_thread(run: Callable[[], None]) -> None:
    """Run in a daemon thread, which does not keep the process from ending."""
    threading.Thread(target=run, name="keyturn-telemetry", daemon=True).start()


@dataclass(slots=True)
class _Batch:
    """The counts of one commit, by path, under the number of its flush."""

    number: int
    counts: Mapping[str, VersionUse | ClientFailures]


class Telemetry:
    """An observer of one process's verifier. Any number of threads may call it. `monotonic` paces its own thread.

    `resolve_tag` returns the tag to store for one that came with a request (`CallerTags.resolve`). It may read a store.
    """

    def __init__(
        self,
        usage: Store,
        environment: Environment,
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None] = in_thread,
        resolve_tag: Callable[[str], str] = str,
    ) -> None:
        self._usage = usage
        self._background = background
        self._resolve_tag = resolve_tag
        self._environment = environment
        self._monotonic = monotonic
        self._process = base64url_encode(environment.random(12))
        self._shard = environment.random(1)[0] % USAGE_SHARDS
        self._uses: deque[tuple[Verdict, str]] = deque(maxlen=MOST_QUEUED)
        self._refusals: deque[tuple[str, Verdict]] = deque(maxlen=MOST_QUEUED // 10)
        self._buffer = UsageBuffer()
        self._batch: _Batch | None = None
        self._flushes = 0
        self._lost_to: datetime | None = None
        self._flush_lock = threading.Lock()
        self._start_lock = threading.Lock()
        self._stop = threading.Event()
        self._is_started = False
        self.junk = 0
        """Refusals outside of any client's transition. They are counted here and stored nowhere."""

    # --- in the request's thread -------------------------------------------------------------------------------------

    def __call__(self, verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        """Note one check."""
        del secret
        if verdict.accepted:
            self._uses.append((verdict, caller))
        else:  # the same path for all refusals, so that the time does not reveal whether the client exists
            self._refusals.append((client_id[:LONGEST_ID], verdict))
        if not self._is_started:
            self.start()

    def start(self) -> None:
        """Start the background thread, once."""
        with self._start_lock:
            if not self._is_started:
                self._background(self._run)
                self._is_started = True  # only now: if no thread could be started, the next check tries again

    # --- in the background -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._try_to_flush()  # at once, so that this process is known to count from now on
        now = self._monotonic()
        flush_at, beat_at = now + FLUSH_SECONDS, now + HEARTBEAT_SECONDS
        while not self._stop.wait(TICK_SECONDS):
            now = self._monotonic()
            self._drain()
            has_counts = bool(self._buffer) or self._batch is not None
            if (has_counts and (now >= flush_at or self._buffer.events >= FLUSH_EVENTS)) or now >= beat_at:
                self._try_to_flush()
                flush_at, beat_at = now + FLUSH_SECONDS, now + HEARTBEAT_SECONDS

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except StoreError as error:
            _log.warning("telemetry waits for its store: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the thread goes on: the next flush may succeed
            _log.error("telemetry could not be written: %s", type(error).__name__)

    def flush(self, *, ending: bool = False) -> None:
        """Write all counts. After a `StoreError` they wait for the next flush.

        `ending` states in the process's document that it counts no more.
        """
        with self._flush_lock:
            began = self._monotonic()
            self._drain()
            # The outcome of an earlier commit may be unknown. Its batch keeps its number until it is certainly written,
            # so that its counts are added exactly once.
            if self._batch is not None:
                self._write(self._batch, None)
                self._batch = None
            while True:
                counts = self._buffer.take(MOST_IN_COMMIT, self._shard, USE_RETENTION)
                self._flushes += 1
                self._batch = _Batch(self._flushes, counts)
                is_last = not self._buffer
                self._write(self._batch, began if is_last else None, ending=ending)
                self._batch = None
                if is_last:
                    return

    def close(self) -> None:
        """Write the remaining counts and state the end of this process, if the store allows. Count no more."""
        with self._start_lock:
            was_running = self._is_started and not self._stop.is_set()
            self._is_started = True
            self._stop.set()
        if not was_running:
            return
        try:
            self.flush(ending=True)
            self._merge_into_ended()
        except Exception as error:  # noqa: BLE001 - a process that ends must not fail here
            _log.warning("telemetry lost its last seconds: %s", type(error).__name__)

    def _merge_into_ended(self) -> None:
        """Merge this process's document into its shard's, so that ended processes do not pile up."""
        # Deleting and merging are one commit: the evidence of this process is never missing, and never counted twice.
        own, shared = verifier_path(self._process), verifier_path(f"ended-{self._shard}")
        for _ in range(ATTEMPTS):
            snapshot = self._usage.get([own, shared])
            life, version = snapshot[own].data, snapshot[own].version
            if life is None or version is None:
                return
            earlier = snapshot[shared].data
            merged = _merge_lives(from_data(VerifierLife, life), from_data(VerifierLife, earlier) if earlier else None)
            ended = replace(merged, process=shared.rpartition("/")[2])
            try:
                self._usage.commit([Delete(own, version), put(snapshot[shared], to_data(ended))])
            except LostRace:
                continue
            return

    def _drain(self) -> None:
        with self._buffer.lock:
            for _ in range(len(self._refusals)):
                client_id, verdict = self._refusals.popleft()
                if verdict.in_transition:
                    self._buffer.count_failure(client_id, verdict.now)
                else:
                    self.junk += 1
            is_full = len(self._uses) >= MOST_QUEUED
            for verdict, caller, count in _drain_uses(self._uses):
                is_counted = self._buffer.count_uses(verdict, self._resolve_tag(caller), count)
                if is_full or not is_counted:
                    self._lost_to = verdict.now + _MARGIN

    def _write(self, batch: _Batch, began: float | None, *, ending: bool = False) -> None:
        """Add one batch to the store. `began` is when the queue was emptied, for the last batch of a flush."""
        own = verifier_path(self._process)
        for attempt in range(ATTEMPTS):
            snapshot = self._usage.get([own, *batch.counts])
            if self._is_written(snapshot, batch.number):
                return
            counted_to = None if began is None else self._counted_to(snapshot, began)
            sums = self._sums(snapshot, batch)
            try:
                self._usage.commit([self._life(snapshot, batch.number, counted_to, ending=ending), *sums])
            except LostRace:
                self._environment.sleep(0.01 * 2**attempt * (1 + self._environment.random(1)[0] / 256))
            else:
                return
        raise StoreError("telemetry lost too many races")

    def _is_written(self, snapshot: Snapshot, number: int) -> bool:
        data = snapshot[verifier_path(self._process)].data
        return data is not None and cast("int", data["flush"]) >= number

    def _counted_to(self, snapshot: Snapshot, began: float) -> datetime:
        # A check that was noted after the queue was emptied is not in this flush. So the statement ends at that moment,
        # converted to store time, and a margin earlier.
        return snapshot.read_time - timedelta(seconds=self._monotonic() - began) - _MARGIN

    def _life(self, snapshot: Snapshot, number: int, counted_to: datetime | None, *, ending: bool) -> Write:
        document, now = snapshot[verifier_path(self._process)], snapshot.read_time
        stored = from_data(VerifierLife, document.data) if document.data else None
        life = VerifierLife(
            process=self._process,
            flush=number,
            started_at=stored.started_at if stored else now,
            counted_to=counted_to or (stored.counted_to if stored else now - _MARGIN),
            ended_at=now if ending and counted_to else None,
            lost_to=self._lost_to,
            expires_at=now + USE_RETENTION,
        )
        return put(document, to_data(life))

    def _sums(self, snapshot: Snapshot, batch: _Batch) -> list[Write]:
        return [put(snapshot[path], to_data(self._sum(snapshot, path, count))) for path, count in batch.counts.items()]

    def _sum(self, snapshot: Snapshot, path: str, count: VersionUse | ClientFailures) -> VersionUse | ClientFailures:
        stored = snapshot[path].data
        try:
            return count if stored is None else _merge(stored, count)
        except (Broken, ValueError):  # replace a damaged document, so that it does not block the others
            self._lost_to = snapshot.read_time
            return count


def _merge_lives(life: VerifierLife, other: VerifierLife | None) -> VerifierLife:
    """Return one statement for two ended processes: since the first start, everything is counted except for losses."""
    if other is None:
        return life
    losses = [item.lost_to for item in (life, other) if item.lost_to is not None]
    return replace(
        life,
        started_at=min(life.started_at, other.started_at),
        counted_to=max(life.counted_to, other.counted_to),
        lost_to=max(losses, default=None),
    )


def _drain_uses(uses: deque[tuple[Verdict, str]]) -> Iterator[tuple[Verdict, str, int]]:
    """Empty a queue, and yield each distinct entry with its count. A kept verdict is one object for a second."""
    verdicts: dict[int, Verdict] = {}
    counts: dict[tuple[int, str], int] = {}
    for _ in range(len(uses)):
        verdict, caller = uses.popleft()
        verdicts[id(verdict)] = verdict
        key = (id(verdict), caller)
        counts[key] = counts.get(key, 0) + 1
    for (name, caller), count in counts.items():
        yield verdicts[name], caller, count


def _merge(stored: Data, count: VersionUse | ClientFailures) -> VersionUse | ClientFailures:
    if isinstance(count, ClientFailures):
        return merge_failures(from_data(ClientFailures, stored), count)
    return merge_uses(from_data(VersionUse, stored), count)
