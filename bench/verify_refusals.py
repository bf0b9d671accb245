"""Row: whether timing distinguishes the refusals: unknown client, wrong secret, retired secret, suspended client.

Equally many samples of each, in random order. alike.py has the statistics.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode, new_secret
from keyturn.domain.model import Client, ClientKind, ClientState, ClientStatus, Version, VersionState
from keyturn.domain.policy import Policy
from keyturn.ports.effects import Environment, monotonic
from keyturn.ports.store import Document, Snapshot
from keyturn.proofs.receipts import receipt_key
from keyturn.records import paths
from keyturn.records.client_document import client_data
from keyturn.verifier.retired_secrets import RetiredSecretDetector
from keyturn.verifier.telemetry import Telemetry
from keyturn.verifier.verifier import Caching, Verifier

from bench.alike import largest_t
from bench.rows import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keyturn.ports.store import Data, Query, Write
    from keyturn.verifier.verdict import Observer

SAMPLES = 100_000
"""Of each kind."""
_CLIENTS = 100
"""Of each kind: none is told by where it happens to lie in memory."""
_TURNS_EACH = 500
"""How often the same four are checked, one of each kind, so that their records are equally old in the cache."""
_WARM_UP = 500
_KINDS = ("unknown", "wrong", "retired", "suspended")
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Filled:
    """A store of clients that never change, and a MAC key that is never called."""

    def __init__(self, clients: Mapping[str, Data]) -> None:
        self._documents = {
            paths.client(name): Document(paths.client(name), data, "1") for name, data in clients.items()
        }

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Return what there is."""
        documents = {path: self._documents.get(path) or Document(path, None, None) for path in paths}
        return Snapshot(documents, datetime.now(UTC))

    def query(self, query: Query) -> Sequence[Document]:
        """Find nothing: none of them changes."""
        return [][: query.limit]

    @property
    def longest_commit(self) -> timedelta:
        """Nothing is committed."""
        return timedelta(0)

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:  # noqa: ARG002 - nothing is written
        """Refuse: a verifier writes nothing."""
        raise ValueError(f"{len(writes)} writes")

    def current(self) -> str:
        """Return the name of the only key."""
        return "key-1"

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        """Refuse: no check here presents a right secret."""
        raise ValueError(f"{mac_key_ref} was asked about {len(data)} bytes")

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        """Refuse likewise."""
        raise ValueError(f"{mac_key_ref} was asked about {len(data)} bytes and {len(tag)}")


def refusals_alike(_folder: Path) -> Measured:
    """Return the largest |t| between two kinds of refusals."""
    presented, store = _presented(Random(7))  # noqa: S311 - a seed makes the clients the same each time
    verifier = Verifier(store, store, Policy(), caching=Caching(), observers=_observers(store))
    timings = _taken(verifier, presented, Random(8))  # noqa: S311 - an order, no secret
    t_values = largest_t(timings)
    means = {f"{kind}_us": fmean(times) / 1000 for kind, times in timings.items()}
    return Measured(max(t_values.values()), {**t_values, **means, "samples_each": SAMPLES})


def _observers(store: Filled) -> tuple[Observer, ...]:
    """Return what the door's verifier tells of its checks, without the threads that do the rest beside it."""
    telemetry = Telemetry(store, Environment(os.urandom, time.sleep), monotonic, background=_never)
    return telemetry, RetiredSecretDetector(store, store, monotonic, background=_never)


def _never(_run: Callable[[], None]) -> None:
    """Run nothing."""


def _taken(
    verifier: Verifier, presented: Mapping[str, Sequence[tuple[str, str]]], random: Random
) -> dict[str, list[int]]:
    """Return nanoseconds of checks by kind, each round in an order of its own."""
    timings: dict[str, list[int]] = {kind: [] for kind in presented}
    kinds = list(presented)
    for turn in range(_WARM_UP + SAMPLES):
        random.shuffle(kinds)
        at = turn // _TURNS_EACH % _CLIENTS
        for kind in kinds:
            client_id, secret = presented[kind][at]
            began = time.perf_counter_ns()
            verdict = verifier.check(client_id, secret)
            ended = time.perf_counter_ns()
            if verdict.accepted:
                raise ValueError("a credential that had to be refused was accepted")
            if turn >= _WARM_UP:
                timings[kind].append(ended - began)
    return timings


def _presented(random: Random) -> tuple[dict[str, list[tuple[str, str]]], Filled]:
    """Return client id and secret to present, by kind, and the store that refuses all of them."""
    clients: dict[str, Data] = {}
    presented: dict[str, list[tuple[str, str]]] = {kind: [] for kind in _KINDS}
    secrets = (new_secret(random.randbytes(32)) for _ in iter(int, 1))
    for kind in _KINDS:
        for _ in range(_CLIENTS):
            client_id = f"client-{random.randrange(10**9):09d}"
            current, previous, retired = islice(secrets, 3)
            if kind != "unknown":
                clients[client_id] = _client(client_id, current, previous, suspended=kind == "suspended", random=random)
            presented[kind].append((client_id, {"suspended": current}.get(kind, retired)))
    return presented, Filled(clients)


def _client(client_id: str, current: str, previous: str, *, suspended: bool, random: Random) -> Data:
    """Return a client with two versions, or one: some have a rotation behind them, some don't."""
    ids = _ids(random)
    names = list(islice(ids, 2))
    versions = {
        names[0]: _version(client_id, names[0], next(ids), current, VersionState.CURRENT),
        names[1]: _version(client_id, names[1], next(ids), previous, VersionState.GRACE),
    }
    if random.random() < 0.5:  # noqa: PLR2004 - half of them
        del versions[names[1]]
    client = Client(
        client_id,
        ClientKind.X_API_KEY,
        ("ops",),
        _SINCE,
        current_version=names[0],
        previous_version=names[1] if names[1] in versions else None,
        revision=7,
        status=ClientStatus.SUSPENDED if suspended else ClientStatus.ACTIVE,
    )
    return client_data(ClientState(client, versions), Policy())


def _ids(random: Random) -> Iterator[str]:
    while True:
        yield "01" + "".join(random.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=24))


def _version(client_id: str, version_id: str, rotation_id: str, secret: str, state: VersionState) -> Version:
    key = receipt_key(secret, client_id=client_id, version_id=version_id, rotation_id=rotation_id)
    return Version(
        client_id=client_id,
        version_id=version_id,
        created_at=_SINCE,
        not_before=_SINCE,
        rotation_id=rotation_id,
        rotated_by="0" * 64,
        rotation_reason="quarterly",
        state=state,
        secret_hash=base64url_encode(bytes(32)),
        mac_key_ref="key-1",
        receipt_key=base64url_encode(key),
        not_after=datetime.now(UTC) + timedelta(days=30) if state is VersionState.GRACE else None,
    )
