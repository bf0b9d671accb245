"""Rows: a check of a cached credential against one bare HMAC and against bcrypt, the reads of a first check, memory.

The HMAC is the one that the MAC key computes: SHA-256 over the same canonical input, through `hmac.digest`. Clients are
generated while they are read, so that only the verifier uses memory.
"""

from __future__ import annotations

import gc
import hmac
import os
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode, canonical_input
from keyturn.domain.model import Client, ClientKind, ClientState, Version, VersionState
from keyturn.domain.policy import Policy
from keyturn.ports.effects import Environment
from keyturn.ports.store import Document, Snapshot
from keyturn.proofs.receipts import receipt_key
from keyturn.records.client_document import client_data
from keyturn.verifier.telemetry import Telemetry
from keyturn.verifier.verifier import Caching, Verifier

from bench.rows import Measured
from bench.timing import milliseconds, samples
from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from keyturn.ports.store import Data, Query, Write
    from keyturn.verifier.verdict import Observer

CLIENTS = 100_000
LIMIT_BYTES = 100_000_000
_PARTS = 16
_CHECKS = 2_000
_VERSION, _ROTATION = "01" + "A" * 24, "01" + "B" * 24
SECRET = "b" * 43
"""Of every client that is made up."""
_KEY = b"k" * 32
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class MadeUp:
    """A counting store that has every client, each with the same secret, and a counting MAC key."""

    def __init__(self) -> None:
        self.reads = 0
        self.macs = 0

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Make up the clients."""
        results = {path: Document(path, made_up_client(path.rpartition("/")[2]), "1") for path in paths}
        self.reads += bool(results)  # a poll asks for the time and no document
        return Snapshot(results, datetime.now(UTC))

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
        """Return the tag. There is only one key."""
        return hmac.digest(_KEY if mac_key_ref == "key-1" else b"", data, "sha256")

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        """Return whether a tag is right."""
        self.macs += 1
        return hmac.compare_digest(self.sign(mac_key_ref, data), tag)


def hot_against_hmac(_folder: Path) -> Measured:
    """Return the time of a check of a kept credential over that of the bare HMAC: medians of alternating batches.

    Telemetry is on, as at the door.
    """
    usage = MemoryStore(lambda: datetime.now(UTC))
    telemetry = Telemetry(usage, Environment(os.urandom, time.sleep), time.monotonic)
    verifier = over(MadeUp(), telemetry)
    data = canonical_input("client-000000", _VERSION, SECRET)
    key = os.urandom(32)
    verifier.check("client-000000", SECRET)

    def hot() -> float:
        began = time.perf_counter()
        for _ in range(_CHECKS):
            verifier.check("client-000000", SECRET)
        return time.perf_counter() - began

    def bare() -> float:
        began = time.perf_counter()
        for _ in range(_CHECKS):
            hmac.digest(key, data, "sha256")
        return time.perf_counter() - began

    results = {name: median(times) for name, times in samples({"hot": hot, "hmac": bare}, rounds=41, warm_up=5).items()}
    telemetry.close()
    parts = {f"{name}_ms": seconds * 1000 / _CHECKS for name, seconds in results.items()}
    return Measured(results["hot"] / results["hmac"], parts)


def hot_against_bcrypt12(_folder: Path) -> Measured:
    """Return the time of one bcrypt check at cost 12 over that of a check of a kept credential."""
    import bcrypt  # noqa: PLC0415 - only this row needs it

    verifier = over(MadeUp())
    verifier.check("client-000000", SECRET)
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(12))

    def hot() -> float:
        return milliseconds(lambda: [verifier.check("client-000000", SECRET) for _ in range(_CHECKS)]) / _CHECKS

    def slow() -> float:
        return milliseconds(lambda: bcrypt.checkpw(SECRET.encode(), hashed))

    results = {
        name: median(times) for name, times in samples({"hot": hot, "bcrypt": slow}, rounds=9, warm_up=1).items()
    }
    return Measured(results["bcrypt"] / results["hot"], {f"{name}_ms": each for name, each in results.items()})


def calls_of_a_first_check(_folder: Path) -> Measured:
    """Return reads and MAC calls of a first right secret, repeated ones and a wrong one, over the two there may be."""
    made_up = MadeUp()
    verifier = over(made_up)
    verifier.check("client-000000", SECRET)
    first = (made_up.reads, made_up.macs)
    for _ in range(100):
        verifier.check("client-000000", SECRET)
    repeated = (made_up.reads - first[0], made_up.macs - first[1])
    before = made_up.macs
    verifier.check("client-000001", "c" * 43)
    wrong = made_up.macs - before
    parts = {"first_reads": first[0], "first_macs": first[1], "repeated_calls": sum(repeated), "wrong_macs": wrong}
    return Measured((sum(first) + sum(repeated) + wrong) / 2, parts)


def memory_of_100k(_folder: Path) -> Measured:
    """Return the memory that 100 000 kept clients take over 100 MB, from what the second sixteenth of them added.

    Tables grow by doubling: those of one and of two sixteenths are as full as those of all will be.
    """
    verifier = over(MadeUp())
    part = CLIENTS // _PARTS
    tracemalloc.start()
    try:
        base = _held()
        _check(verifier, 0, part)
        first = _held() - base
        _check(verifier, part, 2 * part)
        second = _held() - base
    finally:
        tracemalloc.stop()
    each = (second - first) / part
    whole = second + each * (CLIENTS - 2 * part)
    return Measured(whole / LIMIT_BYTES, {"whole_bytes": whole, "each_bytes": each})


def over(made_up: MadeUp, *observers: Observer) -> Verifier:
    """Return a verifier that keeps verdicts."""
    return Verifier(made_up, made_up, Policy(), caching=Caching(), observers=observers)


def _check(verifier: Verifier, start: int, stop: int) -> None:
    for number in range(start, stop):
        if not verifier.check(f"client-{number:06d}", SECRET).accepted:
            raise ValueError("a right secret was refused")


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def made_up_client(client_id: str) -> Data:
    """Return the document of a client with the secret SECRET."""
    key = receipt_key(SECRET, client_id=client_id, version_id=_VERSION, rotation_id=_ROTATION)
    tag = hmac.digest(_KEY, canonical_input(client_id, _VERSION, SECRET), "sha256")
    version = Version(
        client_id=client_id,
        version_id=str(bytearray(_VERSION, "ascii"), "ascii"),  # one of its own, as a store gives it
        created_at=_SINCE,
        not_before=_SINCE,
        rotation_id=_ROTATION,
        rotated_by="0" * 64,
        rotation_reason="quarterly",
        state=VersionState.CURRENT,
        secret_hash=base64url_encode(tag),
        mac_key_ref="key-1",
        receipt_key=base64url_encode(key),
    )
    client = Client(client_id, ClientKind.X_API_KEY, ("ops",), _SINCE, current_version=_VERSION, revision=1)
    return client_data(ClientState(client, {_VERSION: version}), Policy())
