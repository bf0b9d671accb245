"""Row: what acknowledgements in envelopes cost the deliveries beside them, against plain signed events.

One group, three devices, 60 clients in three waves. With each MAC that is computed for a wave, one acknowledgement of
the wave before is accepted: they arrive while the delivery is prepared, as they do beside a key service that takes its
time. Both forms run on the embedded store. The ratio is the larger one of two: MacSign calls for each delivery, and
attempted commits for each delivery.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.domain.model import ClientKind
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.ports.store import Databases
from keyturn.ports.triggers import TRIGGERS

from bench.distribute_stage import GROUP, PEOPLE, settings
from bench.light_device import LightDevice
from bench.rows import Measured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from keyturn.adapters.sqlite.outbox import OutboxEvent
    from keyturn.entry.composition.foundation import Keys
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Snapshot, Write

CLIENTS = 60
WAVE = 20
"""How many rotations are requested at once, and delivered together."""


class CountingStore(SqliteStore):
    """The control store. It counts attempted commits."""

    attempted = 0

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Commit, as the store does."""
        self.attempted += 1
        return super().commit(writes, basis=basis)


@dataclass
class BusyMac:
    """A MAC key. With each hash that it computes, one of the waiting acknowledgements is accepted."""

    inner: MacKey
    signed: int = 0
    waiting: list[tuple[LightDevice, str]] = field(default_factory=list)
    """The device and the rotation of each acknowledgement."""
    suite: Suite | None = None
    in_envelope: bool = False

    def current(self) -> str:
        """Return the current key version."""
        return self.inner.current()

    def sign(self, ref: str, data: bytes) -> bytes:
        """Compute a hash."""
        self.signed += 1
        if self.waiting:
            self.acknowledge()
        return self.inner.sign(ref, data)

    def verify(self, ref: str, data: bytes, tag: bytes) -> bool:
        """Verify a hash."""
        return self.inner.verify(ref, data, tag)

    def acknowledge(self) -> None:
        """Have the next acknowledgement accepted. Raises the refusal if there is one."""
        device, rotation_id = self.waiting.pop(0)
        suite = cast("Suite", self.suite)
        device.catch_up(suite)
        suite.commands.accept(device.acknowledgement(rotation_id, in_envelope=self.in_envelope))


@dataclass(frozen=True, slots=True)
class Costs:
    """What the deliveries cost: MacSign calls, and attempted commits."""

    signed: int
    attempted: int


def deliver(folder: Path, *, in_envelope: bool, clients: int = CLIENTS) -> Costs:
    """Rotate so many clients of one group once, with acknowledgements of one form."""
    folder.mkdir(mode=0o700)
    bare = Suite(settings(folder))
    store = CountingStore(cast("SqliteStore", bare.databases.control).file.path, triggers=TRIGGERS)
    mac = BusyMac(bare.keys.mac, in_envelope=in_envelope)
    databases = Databases(store, bare.databases.auth, bare.databases.usage)
    suite = replace(bare, overrides=Overrides(databases=databases, bus=bare.bus, keys=_with_mac(bare, mac)))
    mac.suite = suite
    devices = _enrolled(suite)
    names = [f"client-{number:03d}" for number in range(clients)]
    for client_id in names:
        suite.operator.administration.add_client(client_id, ClientKind.X_API_KEY, [GROUP], {})
    store.attempted = mac.signed = 0
    for start in range(0, clients, WAVE):
        requested = _request(suite, devices, names[start : start + WAVE])
        _distribute(suite)
        mac.waiting = requested
    while mac.waiting:
        mac.acknowledge()
    return Costs(mac.signed, store.attempted)


def _with_mac(suite: Suite, mac: MacKey) -> Keys:
    keys = suite.keys

    class WithMac:
        def __getattr__(self, name: str) -> object:
            return mac if name == "mac" else getattr(keys, name)

    return cast("Keys", WithMac())


def _enrolled(suite: Suite) -> Sequence[LightDevice]:
    suite.operator.administration.create_group(GROUP)
    devices = [LightDevice(GROUP) for _ in PEOPLE]
    for user, device in zip(PEOPLE, devices, strict=True):
        device.join(suite, user)
    return devices


def _request(suite: Suite, devices: Sequence[LightDevice], names: Sequence[str]) -> list[tuple[LightDevice, str]]:
    """Request a rotation of each client. Return who is to acknowledge which rotation."""
    requested = []
    for number, client_id in enumerate(names):
        rotation_id, event = devices[number % len(devices)].request(client_id)
        suite.commands.accept_event(event)
        requested.append((devices[(number + 1) % len(devices)], rotation_id))
    return requested


def _distribute(suite: Suite) -> None:
    outbox = Outbox(cast("SqliteStore", suite.databases.control).file)
    while events := outbox.claim(WAVE):
        for event in events:
            _handle(suite, outbox, event)


def _handle(suite: Suite, outbox: Outbox, event: OutboxEvent) -> None:
    if event.function == "on_secret_version":
        _, client_id, _, version_id = event.subject.split("/")
        suite.distribution.publish(client_id, version_id)
    else:
        suite.distribution.distribute(event.attributes["client_id"], event.attributes["rotation_id"])
    outbox.mark_delivered(event)


def deliveries_envelope_vs_event(folder: Path) -> Measured:
    """Return the larger ratio of MacSign calls and of commits for each delivery."""
    by_event, by_envelope = (deliver(folder / name, in_envelope=name == "envelope") for name in ("event", "envelope"))
    ratio = max(by_envelope.signed / by_event.signed, by_envelope.attempted / by_event.attempted)
    parts = {
        "deliveries": CLIENTS,
        "mac_event": by_event.signed,
        "mac_envelope": by_envelope.signed,
        "commits_event": by_event.attempted,
        "commits_envelope": by_envelope.attempted,
    }
    return Measured(ratio, parts)
