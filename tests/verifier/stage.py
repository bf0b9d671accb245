"""Verifiers on hand-moved clocks over one store in memory: what keeping verdicts is tried on."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import utc_now
from keyturn.domain.encodings import base64url_decode, base64url_encode, canonical_input, new_secret, ulid
from keyturn.domain.lifecycle import settle
from keyturn.domain.model import (
    Client,
    ClientKind,
    ClientState,
    ClientStatus,
    RetiredBecause,
    Version,
    VersionState,
)
from keyturn.domain.policy import Policy
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreUnavailable, put
from keyturn.proofs.receipts import receipt_key
from keyturn.records import paths
from keyturn.records.client_document import CHANGED_AT, client_data, live_state
from keyturn.verifier.verifier import Caching, Verifier

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from keyturn.ports.store import Document, Query, Snapshot, Store, Write

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = Policy()


class Clock:
    """Store time, and by offset the monotonic time of processes; moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def process(self, offset: float) -> Callable[[], float]:
        return lambda: self.seconds + offset


class RealClock(Clock):
    """The host's time."""

    def __init__(self) -> None:
        self._began = utc_now() - timedelta(seconds=time.monotonic())

    @property
    def seconds(self) -> float:  # type: ignore[override]  # it passes by itself
        return time.monotonic()

    def __call__(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic())


class Reachable:
    """One process's way to the store: counted, and cut at will; `during` runs after a read, before its answer."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.down = False
        self.calls: list[str] = []
        self.during: Callable[[], None] | None = None

    def get(self, wanted: Iterable[str]) -> Snapshot:
        self._reach("get")
        found = self.store.get(wanted)
        if self.during is not None:
            during, self.during = self.during, None
            during()
        return found

    def query(self, query: Query) -> Sequence[Document]:
        self._reach("query")
        return self.store.query(query)

    @property
    def longest_commit(self) -> timedelta:
        return self.store.longest_commit

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:  # noqa: ARG002 - nothing is written
        raise AssertionError(f"a verifier writes nothing, and here {len(writes)}")

    def _reach(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise StoreUnavailable("cut")


class CountedMac:
    """HMAC under a fixed key, counted."""

    def __init__(self) -> None:
        self.verified = 0
        self.down = False

    def current(self) -> str:
        return "key-1"

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        import hmac

        assert mac_key_ref == "key-1"
        return hmac.digest(b"k" * 32, data, "sha256")

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        self.verified += 1
        if self.down:
            raise KeyUnavailable
        return self.sign(mac_key_ref, data) == tag


@dataclass
class Process:
    """One verifier with its own clock and its own way to the store; a poll runs when the test says so."""

    store: Reachable
    mac: CountedMac
    verifier: Verifier
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def poll(self) -> None:
        """Run the polls that were noticed to be due."""
        while self.waiting:
            self.waiting.pop()()


@dataclass
class Stage:
    """A deployment: one store, clients with versions, and processes that verify."""

    policy: Policy = POLICY
    clock: Clock = field(default_factory=Clock)
    mac: CountedMac = field(default_factory=CountedMac)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    read: dict[str, ClientState] = field(default_factory=dict, repr=False)
    """States by the version of the document that they were read from: histories ask for them all the time."""
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)

    def process(self, offset: float = 0.0) -> Process:
        waiting: list[Callable[[], None]] = []
        reach, mac = Reachable(self.store), CountedMac()
        caching = Caching(self.clock.process(offset), os.urandom, waiting.append)
        return Process(reach, mac, Verifier(reach, mac, self.policy, caching=caching), waiting)

    def state(self, client_id: str) -> ClientState:
        document = self.store.get([paths.client(client_id)])[paths.client(client_id)]
        if document.data is None or document.version is None:
            return ClientState(Client(client_id, ClientKind.X_API_KEY, ("ops",), self.clock()))
        if document.version not in self.read:
            self.read[document.version] = live_state(document.data)
        return settle(self.read[document.version], self.policy, self.clock()).state

    def write(self, state: ClientState, *, worked: float = 0.0) -> None:
        """Commit a client: decided long ago, and the store has worked on the commit for so many seconds."""
        path = paths.client(state.client.client_id)
        revised = state.with_client(revision=state.client.revision + 1, updated_at=START)
        document, data = self.store.get([path])[path], client_data(revised, self.policy)
        stamp = self.clock() - timedelta(seconds=worked)
        self.store.commit([put(document, {**data, CHANGED_AT: stamp}) if worked else put(document, data, CHANGED_AT)])

    def version(self, client_id: str) -> Version:
        """Make a version; its secret is in `secrets`."""
        version_id, rotation_id = (ulid(self.clock(), os.urandom(10)) for _ in range(2))
        secret = new_secret(os.urandom(32))
        self.secrets[version_id] = secret
        key = receipt_key(secret, client_id=client_id, version_id=version_id, rotation_id=rotation_id)
        tag = self.mac.sign("key-1", canonical_input(client_id, version_id, secret))
        assert len(base64url_decode(base64url_encode(tag))) == 32
        return Version(
            client_id=client_id,
            version_id=version_id,
            created_at=self.clock(),
            not_before=self.clock(),
            rotation_id=rotation_id,
            rotated_by="ada",
            rotation_reason="quarterly",
            secret_hash=base64url_encode(tag),
            mac_key_ref="key-1",
            receipt_key=base64url_encode(key),
        )

    def promote(self, client_id: str, grace_seconds: float = 3600, *, worked: float = 0.0) -> str:
        """Make a new version current, the old one in grace; return the new version's secret."""
        state, new = self.state(client_id), self.version(client_id)
        versions = [replace(new, state=VersionState.CURRENT)]
        old = state.current if grace_seconds else None
        if old:
            versions.append(old.put_in_grace(self.clock() + timedelta(seconds=grace_seconds)))
        if state.previous:
            versions.append(state.previous.retire(RetiredBecause.SUPERSEDED))
        pointers = {"current_version": new.version_id, "previous_version": old.version_id if old else None}
        changed = state.with_versions(*versions).with_client(**pointers, last_promoted_at=self.clock())
        self.write(changed, worked=worked)
        return self.secrets[new.version_id]

    def rollback(self, client_id: str) -> None:
        """Swap current and previous."""
        state = self.state(client_id)
        if state.current and state.previous and state.previous.not_after:
            end = state.previous.not_after
            swapped = state.with_versions(state.previous.make_current(), state.current.put_in_grace(end))
            ids = {"current_version": state.previous.version_id, "previous_version": state.current.version_id}
            self.write(swapped.with_client(**ids))

    def retire(self, client_id: str, *, worked: float = 0.0) -> None:
        """Retire the version in grace."""
        state = self.state(client_id)
        if state.previous:
            gone = state.with_versions(state.previous.retire(RetiredBecause.REVOKED))
            self.write(gone.with_client(previous_version=None), worked=worked)

    def stand(self, client_id: str, status: ClientStatus) -> None:
        """Suspend, resume or revoke the client."""
        self.write(self.state(client_id).with_client(status=status))

    def live(self, client_id: str) -> set[str]:
        """Return the secrets that verify now."""
        state = self.state(client_id)
        active = state.client.status is ClientStatus.ACTIVE
        return {self.secrets[item.version_id] for item in state.live} if active else set()
