"""Processes of functions: each has a suite of its own, over ports that switch tasks at every call."""

from __future__ import annotations

import atexit
import io
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import flask
from keyturn.adapters.document_values import matches
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite, serving
from keyturn.entry.functions import FUNCTIONS
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.effects import Environment
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import Check, Databases, LostRace, StoreUnavailable, write_bytes
from keyturn.ports.triggers import SUBSCRIPTIONS, TRIGGERS
from keyturn.verifier.verifier import Caching

from tests.simulation.faults import OF_COMMITS, OF_PROCESSES, Armed, Fault
from tests.simulation.scheduler import Died, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from keyturn.ports.store import Document, Query, Snapshot, Write

    from tests.simulation.deployment import Deployment
    from tests.simulation.scheduler import Task

READ_SECONDS, COMMIT_SECONDS, KEY_SECONDS, PUBLISH_SECONDS = 0.006, 0.035, 0.020, 0.012
DEADLINE_SECONDS = 10.0
"""How long a caller waits for its commit, and the oldest read that a commit may rest on when it is sent."""
LATEST_SECONDS = 30.0
"""How long the store may work on a commit that was sent."""
BUS_TIMEOUT_SECONDS = 8.0
KEY_PORTS = ("mac", "sealer", "signer", "rs256_signer")


@dataclass
class Cost:
    """What the calls of one function have cost."""

    function: str
    calls: Counter[str] = field(default_factory=Counter)
    """By port and operation."""
    writes: int = 0
    bytes: int = 0
    """Of what was written."""
    documents: set[str] = field(default_factory=set)
    """The paths of what was read or written."""


@dataclass(eq=False)
class Process:
    """One instance of a function. A killed one starts again with an empty memory."""

    deployment: Deployment
    name: str
    functions: tuple[str, ...]
    caches: bool = False
    tasks: set[Task] = field(default_factory=set)
    paused_until: float = 0.0
    starts: int = 0
    meter: Cost | None = None
    suite: Suite = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start with a new suite, as a cold start does."""
        self.starts += 1
        deployment = self.deployment
        scheduler = deployment.scheduler
        stores = {name: SimulatedStore(self, name) for name in ("control", "auth", "usage")}
        environment = Environment(deployment.draw, scheduler.sleep, lambda: scheduler.now + 1000.0, self._wait)
        caching = Caching(environment.monotonic, environment.random, self._background) if self.caches else None
        overrides = Overrides(
            environment=environment,
            databases=Databases(**cast("Any", stores)),
            keys=cast("Any", SimulatedKeys(self)),
            bus=SimulatedBus(self),
            caching=caching,
            background=lambda _run: None,
            store_expires_documents=False,
        )
        self.suite = Suite(deployment.settings, overrides)

    def end(self) -> None:
        """Forget the suite, without writing what it has not written."""
        if "verification" in vars(self.suite) and "telemetry" in vars(self.suite.verification):
            atexit.unregister(self.suite.verification.telemetry.close)

    def kill(self) -> None:
        """Kill the process with everything that runs in it, and start it again."""
        self.end()
        for task in self.tasks:
            task.is_dead = True
        self.tasks = set()
        self.start()

    def spawn(self, name: str, act: Callable[[], None], delay: float = 0.0, armed: Armed | None = None) -> Task:
        """Run something in this process."""

        def run() -> None:
            try:
                act()
            finally:
                self.tasks.discard(task)

        task = self.deployment.scheduler.spawn(f"{self.name} {name}", run, delay, self)
        self.tasks.add(task)
        self.deployment.armed[task] = armed
        return task

    def answer(self, function: str, environ: dict[str, Any], reply: Reply, armed: Armed | None) -> None:
        """Answer one request in a task of its own."""

        def run() -> None:
            with serving(self.suite):
                request = flask.Request(environ)
                response = FUNCTIONS[function].answer(request)
                reply.status, reply.body = response.status_code, response.get_data()
                reply.headers = {name.lower(): value for name, value in response.headers}
            reply.signal.fire()

        self.spawn(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", run, armed=armed)

    def _background(self, act: Callable[[], None]) -> None:
        self.spawn("background", act)

    def _wait(self, future: Future[Any], seconds: float) -> None:
        signal = Signal(self.deployment.scheduler)
        future.add_done_callback(lambda _future: signal.fire())
        if not signal.wait(seconds):
            raise TimeoutError

    # --- every call of a port ----------------------------------------------------------------------------------------

    def call(self, name: str, seconds: float, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the port returns
        """Carry out one call of a port: other tasks run before it and after it, and the process may end there."""
        deployment = self.deployment
        armed = deployment.armed.get(deployment.scheduler.current)
        strikes = armed is not None and armed.strikes(OF_PROCESSES)
        deployment.note_call(self, name)
        if self.meter is not None:
            self.meter.calls[name.rpartition(" ")[0]] += 1
        self._pass_time(seconds / 2)
        if armed is not None and strikes:
            deployment.note_fault(armed.kind, self.name)
            if armed.kind is Fault.PROCESS_KILLED_BEFORE:
                self._die()
            if armed.kind is Fault.PROCESS_PAUSED:
                self.paused_until = deployment.scheduler.now + deployment.random.choice((3.0, 45.0, 120.0, 400.0))
                self._pass_time(0.0)
        result = act()
        if armed is not None and strikes and armed.kind is Fault.PROCESS_KILLED_AFTER:
            self._die()
        self._pass_time(seconds / 2)
        return result

    def _pass_time(self, seconds: float) -> None:
        scheduler = self.deployment.scheduler
        scheduler.sleep(seconds * self.deployment.random.uniform(0.6, 1.8))
        while self.paused_until > scheduler.now:
            scheduler.sleep(self.paused_until - scheduler.now)

    def _die(self) -> None:
        self.kill()
        raise Died


@dataclass(eq=False)
class Reply:
    """The answer to a request, once it is there."""

    signal: Signal
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def environ_of(
    method: str, path: str, body: bytes, headers: Mapping[str, str], source: str, base_url: str
) -> dict[str, Any]:
    """Return a request as a WSGI server passes it on."""
    scheme, _, host = base_url.partition("://")
    location, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": location,
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": source,
        "HTTP_HOST": host,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ


# --- the ports -------------------------------------------------------------------------------------------------------


class SimulatedStore:
    """One process's connection to a database, with the bounds of Firestore's client on late commits."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name

    @property
    def _deployment(self) -> Deployment:
        return self._process.deployment

    @property
    def longest_commit(self) -> timedelta:
        return timedelta(seconds=DEADLINE_SECONDS + LATEST_SECONDS)

    def get(self, paths: Iterable[str]) -> Snapshot:
        wanted = list(paths)
        asked_at = self._deployment.scheduler.now
        act = lambda: self._open().get(wanted)  # noqa: E731 - short
        self._measure(wanted)
        snapshot: Snapshot = self._process.call(f"{self._name} get {len(wanted)}", READ_SECONDS, act)
        return replace(snapshot, asked_at=asked_at)

    def query(self, query: Query) -> Sequence[Document]:
        act = lambda: self._open().query(query)  # noqa: E731 - short
        return cast(
            "Sequence[Document]", self._process.call(f"{self._name} query {query.collection}", READ_SECONDS, act)
        )

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        self._measure([write.path for write in writes], writes)
        act = lambda: self._send(list(writes), basis)  # noqa: E731 - short
        return cast("datetime", self._process.call(f"{self._name} commit {len(writes)}", COMMIT_SECONDS, act))

    def _measure(self, paths: Iterable[str], writes: Sequence[Write] = ()) -> None:
        meter = self._process.meter
        if meter is not None:
            meter.documents.update(f"{self._name}/{path}" for path in paths)
            meter.writes += len(writes)
            meter.bytes += sum(map(write_bytes, writes))

    def _open(self) -> Any:  # noqa: ANN401 - the store
        if self._deployment.is_down(Fault.STORE_DOWN, self._process):
            self._deployment.scheduler.sleep(2.0)
            raise StoreUnavailable("the store does not respond")
        return self._deployment.databases[self._name]

    def _send(self, writes: Sequence[Write], basis: Snapshot | None) -> datetime:
        deployment, scheduler = self._deployment, self._deployment.scheduler
        store = self._open()
        if basis is not None and basis.asked_at is not None and scheduler.now - basis.asked_at > DEADLINE_SECONDS:
            raise LostRace("the read is too old")
        armed = deployment.armed.get(scheduler.current)
        apply = partial(self._apply, writes)
        if armed is None or self._name != "control" or not armed.strikes(OF_COMMITS):
            return apply()
        deployment.note_fault(armed.kind, self._process.name)
        if armed.kind is Fault.COMMIT_SLOW:
            scheduler.sleep(deployment.random.uniform(1.0, DEADLINE_SECONDS - 0.5))
            return apply()
        if armed.kind is Fault.COMMIT_UNKNOWN_APPLIED:
            apply()
        if armed.kind is Fault.COMMIT_LATE:
            latest = deployment.random.choice((0.3, 5.0, LATEST_SECONDS))
            scheduler.spawn(f"late commit of {self._process.name}", lambda: self._apply_late(writes), latest)
        del store
        raise LostRace("a document changed since it was read, or the outcome is unknown")

    def _apply_late(self, writes: Sequence[Write]) -> None:
        try:
            self._apply(writes)
        except LostRace:
            self._deployment.note("a late commit lost its race")
        else:
            self._deployment.note("a late commit took effect")

    def _apply(self, writes: Sequence[Write]) -> datetime:
        deployment = self._deployment
        at: datetime = deployment.databases[self._name].commit(writes)
        written = [write.path for write in writes if not isinstance(write, Check)]
        deployment.note_written(self._name, [write for write in writes if not isinstance(write, Check)])
        if self._name == "control":
            for path in written:
                for item in TRIGGERS:
                    if matches(item.pattern, path):
                        deployment.events.emit(item.function, "document", path, {}, at)
        return at


class SimulatedBus:
    """One process's connection to the bus."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        self._process.call(f"bus publish {topic}", PUBLISH_SECONDS, lambda: self._publish(topic, dict(message)))

    def _publish(self, topic: str, message: dict[str, str]) -> None:
        deployment = self._process.deployment
        if deployment.is_down(Fault.BUS_DOWN, self._process):
            deployment.scheduler.sleep(BUS_TIMEOUT_SECONDS)
            raise BusUnavailable("the bus does not respond")
        deployment.texts.append(("a message on the bus", repr(message)))
        for item in SUBSCRIPTIONS:
            if item.topic == topic:
                deployment.events.emit(item.function, "topic", topic, message, deployment.store_time())


class SimulatedKeys:
    """One process's connection to the keys."""

    def __init__(self, process: Process) -> None:
        self.mac, self.sealer, self.signer, self.rs256_signer = (
            _KeyPort(process, name, getattr(process.deployment.keys, name)) for name in KEY_PORTS
        )


class _KeyPort:
    def __init__(self, process: Process, name: str, target: object) -> None:
        self._process = process
        self._name = name
        self._target = target

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        method, process = getattr(self._target, name), self._process
        if not callable(method):
            return method

        def call(*arguments: object) -> Any:  # noqa: ANN401 - what the port returns
            deployment = process.deployment
            slow = deployment.is_down(Fault.KEYS_SLOW, process)

            def act() -> Any:  # noqa: ANN401 - what the port returns
                if deployment.is_down(Fault.KEYS_DOWN, process):
                    deployment.scheduler.sleep(1.0)
                    raise KeyUnavailable("the key service does not respond")
                return method(*arguments)

            return process.call(f"keys {self._name}.{name}", 3.0 if slow else KEY_SECONDS, act)

        return call
