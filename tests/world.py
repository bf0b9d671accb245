"""The whole suite in one process: real functions, keys, groups and devices, over a store with the clock of the test.

Nothing happens by itself: the events of writes and messages are queued, and `pump` delivers them to the functions.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.adapters.document_values import matches
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.adapters.sqlite.outbox import OutboxEvent as Delivery
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.device.api.client import HttpRequest, HttpResponse
from keyturn.device.core.signed_events import EventSigner, RotationRequest, ack_event, rotation_event, service_event
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.device.home.sealed_files import ScryptCost
from keyturn.domain.encodings import to_milliseconds, ulid
from keyturn.domain.policy import Policy
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.cloud_events import request_of
from keyturn.local.gateway import open_gateway
from keyturn.ports.authorisation import ATTESTED_ADMIN as PROOFS
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION as UNSAFE
from keyturn.ports.effects import Environment
from keyturn.ports.store import Check, Databases
from keyturn.ports.triggers import SUBSCRIPTIONS, TRIGGERS
from keyturn.records import paths
from werkzeug.test import Client as HttpClient

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keyturn.ports.store import Document, Query, Snapshot, Store, Write
    from keyturn.proofs.nostr import Event
    from werkzeug.test import TestResponse

URL = "http://127.0.0.1:8787"
TOKEN = "the-operators-own-token"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
GROUP = "operations-team"
CLIENT = "acme-integrations"
QUICK = Policy(minimum_not_before_seconds=0, minimum_interval_seconds=0)
CHEAP = ScryptCost(n=2**4)


@functools.cache
def gateway() -> HttpClient:
    """Return all functions, as `keyturn up` serves them. They use the current suite."""
    return HttpClient(open_gateway(TOKEN))


EACH_STORE = pytest.mark.parametrize("world", ["memory", "sqlite"], indirect=True)


class WorldTransport:
    """A device's transport: it calls the functions in this process."""

    def send(self, call: HttpRequest) -> HttpResponse:
        answer = gateway().open(call.url, method=call.method, data=call.body or b"", headers=dict(call.headers))
        return HttpResponse(
            answer.status_code, {name.lower(): value for name, value in answer.headers}, answer.get_data()
        )


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


class WatchedStore:
    """A store that counts its calls, and queues what a written document wakes."""

    def __init__(self, store: Store, queue: deque[Delivery]) -> None:
        self.inner = store
        self.calls: list[str] = []
        self._queue = queue

    def get(self, paths: Iterable[str]) -> Snapshot:
        self.calls.append("get")
        return self.inner.get(paths)

    def query(self, query: Query) -> Sequence[Document]:
        self.calls.append("query")
        return self.inner.query(query)

    @property
    def longest_commit(self) -> timedelta:
        return self.inner.longest_commit

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        self.calls.append("commit")
        at = self.inner.commit(writes, basis=basis)
        written = [write.path for write in writes if not isinstance(write, Check)]
        woken = [(item.function, path) for path in written for item in TRIGGERS if matches(item.pattern, path)]
        self._queue.extend(delivery(door, "document", path, {}, at) for door, path in woken)
        return at


class QueueBus:
    """A bus whose messages are queued; `down` makes it fail."""

    def __init__(self, queue: deque[Delivery], clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self.published: list[Mapping[str, str]] = []
        self.down: Exception | None = None

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        if self.down is not None:
            raise self.down
        self.published.append(message)
        doors = [item.function for item in SUBSCRIPTIONS if item.topic == topic]
        self._queue.extend(delivery(door, "topic", topic, message, self._clock()) for door in doors)


def delivery(door: str, kind: str, subject: str, attributes: Mapping[str, str], at: datetime) -> Delivery:
    return Delivery(os.urandom(8).hex(), door, kind, subject, dict(attributes), at, 1)


@dataclass
class Admin:
    """A person with an enrolled device; `signer` is the device's own key."""

    user: str
    device: Device
    signer: EventSigner

    def rotation(self, **changes: object) -> Event:
        return rotation_event(self.signer, self.request(**changes))

    def request(self, **changes: object) -> RotationRequest:
        default: dict[str, object] = {
            "client_id": CLIENT,
            "rotation_id": self.device.new_id(),
            "reason": "because it is time",
            "group": GROUP,
            "grace_milliseconds": 3_600_000,
        }
        return RotationRequest(**cast("Any", {**default, **changes}))

    def action(self, action_type: str, params: Mapping[str, object] | None = None, **changes: object) -> Event:
        default: dict[str, object] = {"action_id": self.device.new_id(), "client_id": CLIENT, "group": GROUP}
        asked = cast("Any", {**default, **changes})
        return service_event(self.signer, action_type=action_type, params=params or {}, **asked)

    def ack(self, rotation_id: str) -> Event:
        self.device.catch_up()
        notice = self.device.notice(rotation_id)
        ack = notice.acknowledgement(self.signer.public_key, self.signer.now())
        return ack_event(self.signer, ack, notice.require_secret())

    def secret(self, rotation_id: str) -> str:
        self.device.catch_up()
        return self.device.notice(rotation_id).require_secret()


@dataclass
class World:
    """One deployment. `kind` says which store: memory or sqlite."""

    folder: Path
    kind: str = "memory"
    policy: Policy = QUICK
    stage: Stage = Stage.LOCAL
    denied: frozenset[str] = frozenset()
    attested: bool = False
    """Whether commands need an admin proof. Otherwise a signature and a leaf suffice."""
    base_url: str = URL
    """Where people reach the functions."""
    overrides: dict[str, object] = field(default_factory=dict)
    """Further fields of the suite's `Overrides`."""
    clock: Clock = field(default_factory=Clock)
    queue: deque[Delivery] = field(default_factory=deque)
    admins: dict[str, Admin] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.control, self.auth, self.usage = (self._store(name) for name in ("control", "auth", "usage"))
        self.bus = QueueBus(self.queue, self.clock)
        self.keys = LocalKeys.open_or_create(self.folder / "keys.json", os.urandom)
        self.serve(self.policy)

    def _store(self, name: str) -> WatchedStore:
        store: Store = MemoryStore(self.clock)
        if self.kind == "sqlite":
            store = SqliteStore(self.folder / f"{name}.db", clock=self.clock)
        return WatchedStore(store, self.queue)

    def serve(self, policy: Policy | None = None, **overrides: object) -> None:
        """Have the functions served by a new suite, under this policy and with these overrides."""
        self.policy = policy or self.policy
        self.overrides |= overrides
        self.suite = self.new_suite()
        wiring.use(self.suite)

    def new_suite(self, **stores: Store) -> Suite:
        """Return a suite over these parts, as another process would have it; `stores` take their databases' places."""
        settings = Settings(
            stage=self.stage,
            data=self.folder,  # for the test authority's key only: the stores are given
            base_url=self.base_url,
            authoriser=PROOFS if self.attested else UNSAFE,
            policy=self.policy,
            denied=self.denied,
        )
        stores = {"control": self.control, "auth": self.auth, "usage": self.usage, **stores}
        overrides = {
            "databases": Databases(**stores),
            "bus": self.bus,
            "keys": self.keys,
            "environment": Environment(os.urandom, lambda seconds: time.sleep(min(seconds, 0.002))),
            # A test calls `telemetry.flush()` to write counts, and `retired_secrets.turn()` to try refused values.
            "background": lambda _run: None,
            **self.overrides,
        }
        return Suite(settings, Overrides(**cast("Any", overrides)))

    # --- the functions -----------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> TestResponse:
        given = dict(headers or {})
        return gateway().open(path, method=method, data=body, headers=given, base_url=URL)

    def send(self, event: Event) -> TestResponse:
        return self.call("POST", "/rotate_request/", event.to_json().encode())

    def operator(self, path: str, fields: Mapping[str, object] | None = None) -> TestResponse:
        body, method = (b"", "GET") if fields is None else (json.dumps(fields).encode(), "POST")
        return self.call(method, f"/operator{path}", body, {"Authorization": f"Bearer {TOKEN}"})

    def sweep(self) -> dict[str, int]:
        answer = self.call("POST", "/grace_sweeper/", b"{}", {"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200, answer.text
        return cast("dict[str, int]", answer.json)

    def deliver(self, item: Delivery) -> TestResponse:
        headers, body = request_of(item)
        return self.call("POST", f"/{item.function}/", body, {**headers, "Authorization": f"Bearer {TOKEN}"})

    def pump(self) -> list[int]:
        """Deliver what is queued, and what that wakes, each once."""
        statuses = []
        while self.queue:
            statuses.append(self.deliver(self.queue.popleft()).status_code)
        return statuses

    def check(self, secret: str, client_id: str = CLIENT) -> dict[str, Any]:
        answer = self.call("POST", "/client_token/check", b"", {"X-Client-Id": client_id, "X-API-Key": secret})
        return cast("dict[str, Any]", answer.json)

    # --- users and clients --------------------------------------------------------------------------------------------

    def found(self, *users: str, groups: Sequence[str] = (GROUP,), **client: object) -> World:
        """Found groups, one client and the devices of some people, each in every group."""
        for group in groups:
            assert self.operator("/groups", {"group_id": group}).status_code == 200
        self.add_client(CLIENT, groups, **client)
        for user in users:
            for group in groups:
                self.join(user, group)
        return self

    def add_client(self, client_id: str, groups: Sequence[str] = (GROUP,), **fields: object) -> None:
        asked = {"client_id": client_id, "groups": list(groups), **fields}
        assert self.operator("/clients", asked).status_code == 200

    def new_admin(self, user: str) -> Admin:
        home = Home.create(self.folder / "homes" / user, user, "passphrase", cost=CHEAP)
        device = Device.open(
            home, URL, transport=WorldTransport(), now=self.clock, random=os.urandom, sleep=lambda _seconds: None
        )
        return Admin(user, device, EventSigner(home.private_key(), self.clock, os.urandom))

    def join(self, user: str, group: str = GROUP) -> Admin:
        admin = self.admins.get(user) or self.new_admin(user)
        admin.device.join(self.invite(user, group))
        self.admins[user] = admin
        return admin

    def invite(self, user: str, group: str = GROUP) -> str:
        return str(self.operator("/invites", {"user": user, "group_id": group}).json["code"])  # type: ignore[index]  # an object

    def issue(self, requester: str, *ackers: str, client_id: str = CLIENT, **changes: object) -> str:
        """Rotate from request to promotion, and return the secret."""
        requested = self.admins[requester]
        event = requested.rotation(client_id=client_id, **changes)
        answer = self.send(event)
        assert answer.status_code == 200, answer.text
        self.pump()
        rotation_id = str(answer.json["rotation_id"])  # type: ignore[index]  # an object
        for acker in ackers:
            assert self.send(self.admins[acker].ack(rotation_id)).status_code == 200
        return requested.secret(rotation_id)

    # --- what is stored ----------------------------------------------------------------------------------------------

    def document(self, path: str) -> dict[str, Any]:
        return dict(cast("Mapping[str, Any]", self.control.inner.get([path])[path].data))

    def documents(self, store: WatchedStore | None = None) -> dict[str, tuple[str, object]]:
        """Return all documents of a database (control), each with its version."""
        inner = (store or self.control).inner
        if isinstance(inner, MemoryStore):
            return {path: (item.version or "", item.data) for path, item in inner._documents.items()}
        with cast("SqliteStore", inner).file.reading() as connection:
            rows = connection.execute("SELECT path, version, data FROM documents").fetchall()
        return {path: (str(version), data) for path, version, data in rows}

    def audited(self, *chains: str) -> list[dict[str, Any]]:
        """Return the audit entries of these chains in order, or of the deployment's and then all groups'."""
        heads = sorted(
            {path.split("/")[1] for path in self.documents() if path.startswith("audit_heads/")}, reverse=True
        )
        collections = [f"{paths.audit(chain)}/" for chain in chains or heads]
        stored = sorted(self.documents())
        return [self.document(path) for part in collections for path in stored if path.startswith(part)]

    def dump(self) -> bytes:
        """Return everything that is stored, and what is queued, as bytes."""
        stores = [sorted(self.documents(store).items()) for store in (self.control, self.auth, self.usage)]
        return repr((stores, list(self.queue))).encode()

    def milliseconds(self, **parts: float) -> int:
        return to_milliseconds(self.clock.now + timedelta(**parts))

    def new_id(self) -> str:
        return ulid(self.clock.now, os.urandom(10))


@contextmanager
def opened(folder: Path, kind: str = "memory", **given: Any) -> Iterator[World]:  # noqa: ANN401 - the fields of World
    """Serve a new world over a store of this kind: memory, sqlite or firestore."""
    if kind == "firestore":
        # The emulator's libraries are loaded for the tests that use it only.
        from tests.cloud.world_on_firestore import running_on_firestore

        with running_on_firestore(folder, **given) as on_firestore:
            yield on_firestore
    else:
        with running(folder, kind, **given) as world:
            yield world


@contextmanager
def running(folder: Path, kind: str = "memory", **given: Any) -> Iterator[World]:  # noqa: ANN401 - the fields of World
    """Serve the functions of a new world while the context lasts."""
    try:
        yield World(folder, kind, **given)
    finally:
        wiring.use(None)
