"""One simulated deployment: databases, keys, clock, network and events, and the processes of all functions."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.adapters.sqlite.host_clock import HostClock
from keyturn.adapters.sqlite.outbox import OutboxEvent
from keyturn.domain.policy import Policy
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.cloud_events import request_of
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION

from tests.memory_store import MemoryStore
from tests.simulation.faults import OF_EVENTS, Armed, Fault
from tests.simulation.processes import Cost, Process, Reply, environ_of
from tests.simulation.scheduler import Scheduler, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from random import Random

    from keyturn.ports.store import Document, Write

    from tests.simulation.oracle import Oracle
    from tests.simulation.scheduler import Task

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE_URL = "https://keyturn.example"
HOP_SECONDS = 0.008
TIMEOUT_SECONDS = 30.0
INTERNAL_ERROR = 500
QUICK = Policy(minimum_not_before_seconds=0, minimum_interval_seconds=0)
DAY_SECONDS = 86_400.0
PROCESSES: Sequence[tuple[str, tuple[str, ...], bool]] = (
    ("requests-1", ("rotate_request",), False),
    ("requests-2", ("rotate_request",), False),
    ("distribute-1", ("distribute",), False),
    ("distribute-2", ("distribute",), False),
    ("verifier-1", ("client_token",), True),
    ("verifier-2", ("client_token",), True),
    ("verifier-3", ("client_token",), False),
    ("rest", ("operator", "enrol", "status", "admin_proof", "on_secret_version", "grace_sweeper"), False),
)


@dataclass(frozen=True)
class Saved:
    """The stored state of a deployment, from which a run can start."""

    documents: Mapping[str, Mapping[str, Document]]
    versions: Mapping[str, int]
    now: float


@dataclass(frozen=True)
class Written:
    """One document as a commit wrote it. `data` is None for a deletion, partial for an amendment."""

    at: float
    database: str
    path: str
    data: Mapping[str, Any] | None


class Deployment:
    """Everything that is outside of the suite's own code."""

    def __init__(self, random: Random, folder: Path, policy: Policy = QUICK) -> None:
        self.random = random
        self.folder = folder
        self.scheduler = Scheduler(random)
        self.clock_offset = 0.0
        """By how many seconds the time of day of the store's host is wrong."""
        self._host = HostClock(self._time_of_day, lambda: self.scheduler.now, "simulated")
        self._host.note(None, is_new=True)
        self.databases = {name: MemoryStore(self.store_time) for name in ("control", "auth", "usage")}
        self.armed: dict[Task, Armed | None] = {}
        self.down: dict[Fault, tuple[float, str]] = {}
        self.events = Events(self)
        self.texts: list[tuple[str, str]] = []
        self.drawn: list[bytes] = []
        self.written: list[Written] = []
        self.oracle: Oracle | None = None
        self.is_poisoned = False
        """Whether a stored document is damaged."""
        self._statuses: dict[str, list[tuple[float, str]]] = {}
        self.story: list[tuple[float, str]] = []
        self.faults: Counter[Fault] = Counter()
        self.calls: Counter[str] = Counter()
        self._trace = hashlib.sha256()
        self._log = LogTap(self)
        self.settings = Settings(
            stage=Stage.LOCAL,
            data=folder,
            base_url=BASE_URL,
            authoriser=UNSAFE_NO_ATTESTATION,
            policy=policy,
        )
        self.keys = LocalKeys.open_or_create(folder / "keys.json", self.draw)
        self.processes = [Process(self, name, functions, caches) for name, functions, caches in PROCESSES]

    # --- time and randomness -----------------------------------------------------------------------------------------

    def store_time(self) -> datetime:
        """Return the clock of the store: the time of day of its host, but for steps that have not lasted (ADR 0023)."""
        return self._host.now()

    def _time_of_day(self) -> datetime:
        return START + timedelta(seconds=round(self.scheduler.now + self.clock_offset, 6))

    def true_time(self) -> datetime:
        """Return the time that no clock shows."""
        return START + timedelta(seconds=round(self.scheduler.now, 6))

    def draw(self, size: int) -> bytes:
        """Return random bytes for the service. Those that could be a secret are remembered."""
        data = self.random.randbytes(size)
        if size == 32:
            self.drawn.append(data)
        return data

    # --- what is noted -----------------------------------------------------------------------------------------------

    def note(self, sentence: str) -> None:
        """Add a line to the story."""
        self.story.append((self.scheduler.now, sentence))
        self._trace.update(f"{self.scheduler.now:.6f} {sentence}\n".encode())

    def note_call(self, process: Process, name: str) -> None:
        """Count a call of a port."""
        self.scheduler.steps += 1
        self.calls[name.split(maxsplit=1)[0]] += 1
        self._trace.update(f"{self.scheduler.now:.6f} {process.name} {name}\n".encode())

    def note_fault(self, kind: Fault, where: str) -> None:
        """Count a fault that struck."""
        self.faults[kind] += 1
        self.note(f"FAULT {kind.value}: {where}")

    def note_written(self, database: str, writes: Sequence[Write]) -> None:
        """Keep what a commit wrote."""
        now = self.scheduler.now
        for item in writes:
            written = Written(now, database, item.path, getattr(item, "data", None))
            self.written.append(written)
            if database == "control":
                self._note_status(written)
                if self.oracle is not None:
                    self.oracle.note_document(written.path, written.data, now)

    def _note_status(self, written: Written) -> None:
        collection, _, client_id = written.path.partition("/")
        if collection == "oauth2_clients" and "/" not in client_id and written.data is not None:
            self._statuses.setdefault(client_id, []).append((written.at, str(written.data.get("status"))))

    def statuses(self) -> Mapping[str, list[tuple[float, str]]]:
        """Return when each client was stored with which status."""
        return {client_id: list(changes) for client_id, changes in self._statuses.items()}

    def load_statuses(self, statuses: Mapping[str, list[tuple[float, str]]]) -> None:
        """Start from the statuses of a saved deployment."""
        self._statuses = {client_id: list(changes) for client_id, changes in statuses.items()}

    def was_active(self, client_id: str, since: float) -> bool:
        """Return whether a client was stored as active at a time, and ever since."""
        changes = self._statuses.get(client_id, [])
        ends = [*(at for at, _ in changes[1:]), self.scheduler.now + 1.0]
        return all(status == "active" for (_, status), end in zip(changes, ends, strict=True) if end > since)

    def trace(self) -> str:
        """Return the hash of everything that happened."""
        return self._trace.hexdigest()

    # --- faults of the surroundings ----------------------------------------------------------------------------------

    def fail(self, kind: Fault, seconds: float, process: str = "") -> None:
        """Let a dependency fail for a while: for one process, or for all."""
        self.down[kind] = (self.scheduler.now + seconds, process)
        self.note_fault(kind, f"{process or 'all processes'}, for {seconds:.0f} s")

    def is_down(self, kind: Fault, process: Process) -> bool:
        """Return whether a dependency fails now for a process."""
        until, name = self.down.get(kind, (0.0, ""))
        return self.scheduler.now < until and name in {"", process.name}

    def heal(self) -> None:
        """End all failures."""
        self.down.clear()
        self.events.losing.clear()
        for process in self.processes:
            process.paused_until = 0.0

    # --- the network -------------------------------------------------------------------------------------------------

    def process_for(self, function: str, name: str = "") -> Process:
        """Return a process that serves a function: a named one, or any."""
        fitting = [item for item in self.processes if function in item.functions and name in {"", item.name}]
        return self.random.choice(fitting)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        process: str = "",
        source: str = "203.0.113.7",
        armed: Armed | None = None,
    ) -> Reply | None:
        """Send a request in the current task. Return the reply, or None if none came in time."""
        function = path.split("/")[1].partition("?")[0]
        self.scheduler.sleep(HOP_SECONDS * self.random.uniform(0.5, 2.0))
        reply = Reply(Signal(self.scheduler))
        environ = environ_of(method, path, body, headers or {}, source, BASE_URL)
        self.process_for(function, process).answer(function, environ, reply, armed)
        if not reply.signal.wait(TIMEOUT_SECONDS):
            return None
        if armed is not None and armed.strikes(frozenset({Fault.ANSWER_LOST})):
            self.note_fault(armed.kind, f"{method} {path.split('?', maxsplit=1)[0]}")
            return None
        if reply.status == INTERNAL_ERROR and self.oracle is not None and not self.is_poisoned:
            self.oracle.note_internal_error(path, self.scheduler.now)
        self.scheduler.sleep(HOP_SECONDS * self.random.uniform(0.5, 2.0))
        return reply

    def start_meter(self, function: str) -> Cost:
        """Measure what a function costs from now on."""
        meter = Cost(function)
        for process in self.processes:
            process.meter = meter if function in process.functions else None
        return meter

    def stop_meter(self) -> None:
        """Measure no more."""
        for process in self.processes:
            process.meter = None

    def operate(self, path: str, fields: Mapping[str, object] | None = None, armed: Armed | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Send a request of the operator. Return its status and its JSON."""
        method, body = ("GET", b"") if fields is None else ("POST", json.dumps(fields).encode())
        reply = self.request(method, f"/operator{path}", body, armed=armed)
        return (0, {}) if reply is None else (reply.status, json.loads(reply.body))

    # --- saving and loading ------------------------------------------------------------------------------------------

    def save(self) -> Saved:
        """Return the stored state."""
        documents = {name: dict(store._documents) for name, store in self.databases.items()}
        versions = {name: store._version for name, store in self.databases.items()}
        return Saved(documents, versions, self.scheduler.now)

    def load(self, saved: Saved) -> None:
        """Start from a stored state."""
        for name, store in self.databases.items():
            store.restore(saved.documents[name], saved.versions[name])
        self.scheduler.now = saved.now

    def document(self, path: str, database: str = "control") -> Mapping[str, Any] | None:
        """Return a stored document, without any process."""
        found = self.databases[database]._documents.get(path)
        return None if found is None else found.data

    def close(self) -> None:
        """End the run."""
        self.scheduler.close()
        for process in self.processes:
            process.end()
        self._log.close()


@dataclass
class Events:
    """Delivery of events to functions: at least once, late, in any order, and under faults not at all."""

    deployment: Deployment
    count: int = 0
    losing: set[str] = field(default_factory=set)
    """Clients whose events are lost now."""
    earlier: dict[str, list[OutboxEvent]] = field(default_factory=dict)
    """The last events about each client."""

    def emit(self, function: str, kind: str, subject: str, attributes: Mapping[str, str], at: datetime) -> None:
        """Deliver an event of the current task."""
        deployment = self.deployment
        armed = deployment.armed.get(deployment.scheduler.current)
        client_id = attributes.get("client_id") or subject.split("/")[1]
        if client_id in self.losing:
            deployment.note_fault(Fault.EVENT_LOST, f"{function} {subject}")
            return
        delays = [deployment.random.expovariate(4.0)]
        if armed is not None and armed.strikes(OF_EVENTS):
            deployment.note_fault(armed.kind, f"{function} {subject}")
            delays = {
                Fault.EVENT_LOST: [],
                Fault.EVENT_DOUBLED: [*delays, deployment.random.uniform(0.0, 3.0)],
                Fault.EVENT_REORDERED: [deployment.random.uniform(3.0, 40.0)],
                Fault.EVENT_DAY_LATE: [DAY_SECONDS],
            }[armed.kind]
        self.count += 1
        event = OutboxEvent(f"event-{self.count}", function, kind, subject, dict(attributes), at, 1)
        self.earlier[client_id] = [*self.earlier.get(client_id, []), event][-6:]
        for delay in delays:
            deployment.scheduler.spawn(f"event for {function}", lambda: self._deliver(event, armed), delay)

    def repeat(self, client_id: str) -> None:
        """Deliver some of a client's earlier events again."""
        deployment = self.deployment
        known = self.earlier.get(client_id, [])
        for event in deployment.random.sample(known, min(3, len(known))):
            delay = deployment.random.uniform(0.0, 0.8)
            deployment.scheduler.spawn(f"event for {event.function}", partial(self._deliver, event, None), delay)

    def _deliver(self, event: OutboxEvent, armed: Armed | None) -> None:
        headers, body = request_of(event)
        # The fault of an attempt follows what it caused: the trigger, the message and the distribution.
        for attempt in range(6):
            reply = self.deployment.request("POST", f"/{event.function}/", body, headers, armed=armed)
            if reply is not None and reply.status < 300:
                return
            self.deployment.scheduler.sleep(min(600.0, 1.0 * 3**attempt))


class LogTap(logging.Handler):
    """Keeps every log line, for the search for secrets, and lets none through."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__()
        self._deployment = deployment
        self.lines: Counter[str] = Counter()
        logger = logging.getLogger("keyturn")
        self._propagate, logger.propagate = logger.propagate, False
        self._handlers = logger.handlers[:]
        logger.handlers[:] = [self]

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        self._deployment.texts.append(("a log line", line))
        # The id of an internal error is drawn anew in each run.
        shown = re.sub(r"^[0-9a-f]{16} ", "", line)
        self._deployment.note(f"log: {shown}" if record.levelno >= logging.ERROR else "log")

    def close(self) -> None:
        logger = logging.getLogger("keyturn")
        logger.handlers[:] = self._handlers
        logger.propagate = self._propagate
        super().close()
