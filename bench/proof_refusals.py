"""Row: whether timing distinguishes an unknown admin, a wrong code and a wrong device at the function `admin_proof`.

It measures what a caller can measure: a whole request to `/admin_proof/proof` in this process, from the call to the
answer. Every refusal waits for a full multiple of half a second, so only the work after the wait and the precision of
its end are visible. The work before the wait is reported as `…_work_ms`. It may differ, because only a wrong code is
stored. It must not take longer than the wait, so the store is in memory: the row says nothing about a disk or a network
that takes half a second for a commit. A wrong code is reached only after every other factor has passed, so an unknown
caller sees the other two kinds only.

WORKERS ask at once, each as an admin of its own, to keep the row under a minute. That adds noise, which the number of
samples makes up for. Kinds are asked in random order. alike.py has the statistics.
"""

from __future__ import annotations

import functools
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from statistics import fmean, median
from threading import local
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.adapters.document_values import utc_now
from keyturn.domain.encodings import base64url_encode
from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.gateway import open_gateway
from keyturn.ports.effects import Environment
from keyturn.ports.store import Create, Databases, put
from keyturn.proofs.nip98 import sign_authorization
from keyturn.proofs.nostr import public_key
from keyturn.proofs.statement import Statement
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminDevice, AdminStatus, admin_path, seal_seed
from keyturn.records.codec import to_data
from keyturn.use_cases.admin_proof.prove import REFUSAL_SECONDS
from werkzeug.test import Client

from bench.alike import largest_t
from bench.rows import Measured
from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

WORKERS = 10
ROUNDS = 25
"""Of each worker, so that there are WORKERS times as many samples of each kind."""
WARM_UP = 2
KINDS = ("unknown", "wrong_code", "wrong_device")
_URL = "http://127.0.0.1:8787"
_DIGEST = "A" * 43


class AcceptedError(Exception):
    """Something that had to be refused was not, or for another reason."""


@dataclass
class Asker:
    """An admin that provokes each kind of refusal. `stranger` is an unregistered key."""

    suite: Suite
    door: Client
    user: str
    private_key: bytes = field(default_factory=lambda: os.urandom(32))
    stranger: bytes = field(default_factory=lambda: os.urandom(32))
    device: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    other_device: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @functools.cached_property
    def admin(self) -> Admin:
        """The admin's record, as it is before every request: no code of theirs was wrong."""
        signed = base64url_encode(self.device.sign(b"x"))
        evidence = {"public_key": base64url_encode(self.device.public_key().public_bytes_raw()), "signature": signed}
        key = DevAttestation().register(evidence, b"x", self.suite.databases.auth.get([]).read_time)
        seed = seal_seed(self.suite.keys.sealer, self.user, os.urandom(20))
        return Admin(self.user, self.user, AdminStatus.ACTIVE, (AdminDevice(public_key(self.private_key), key),), seed)

    def settle(self) -> None:
        """Register the admin, or forget their wrong codes."""
        path = admin_path(self.user)
        auth = self.suite.databases.auth
        auth.commit([put(auth.get([path])[path], to_data(self.admin))])

    def request(self, kind: str) -> tuple[bytes, str]:
        """Return body and Authorization header of a request that is refused for one reason."""
        key = self.stranger if kind == "unknown" else self.private_key
        device = self.other_device if kind == "wrong_device" else self.device
        now = self.suite.databases.auth.get([]).read_time
        challenge = str(self.suite.proofs.challenges.issue(now)["challenge"])
        about = {"npub": public_key(key), "group": "ops", "client_id": "acme", "digest": _DIGEST}
        statement = Statement(service=_URL, challenge=challenge, **about).to_bytes()
        proof_fields = {
            "challenge": challenge,
            "id_token": self.suite.proofs.local_identity_provider.issue(self.user, now),
            "device": {
                "kind": "dev_attest",
                "device_id": self.admin.devices[0].key.device_id,
                "signature": base64url_encode(device.sign(statement)),
            },
            "totp": "no code",
            "mls_group": "ops",
            "client_id": "acme",
            "request_digest": _DIGEST,
        }
        body = json.dumps(proof_fields).encode()
        url = f"{_URL}/admin_proof/proof"
        return body, sign_authorization(key, url=url, method="POST", body=body, now=now, random=os.urandom)

    def refused(self, kind: str) -> int:
        """Return the nanoseconds that one refusal takes."""
        self.settle()
        body, header = self.request(kind)
        began = time.perf_counter_ns()
        answer = self.door.post("/admin_proof/proof", data=body, headers={"Authorization": header}, base_url=_URL)
        ended = time.perf_counter_ns()
        if (answer.status_code, cast("Any", answer.json)["reason"]) != (401, "proof_refused"):
            raise AcceptedError(kind)
        return ended - began


@dataclass
class Waits:
    """Sleeps, and remembers for each thread how long it was asked to."""

    last: local = field(default_factory=local)

    def __call__(self, seconds: float) -> None:
        """Sleep."""
        self.last.seconds = seconds
        time.sleep(seconds)

    @property
    def work_milliseconds(self) -> float:
        """How long this thread's last request worked before it slept."""
        slept: float = self.last.seconds
        return (REFUSAL_SECONDS - slept) * 1000


def proof_refusals_alike(folder: Path) -> Measured:
    """Return the largest |t| between two kinds of refusals."""
    waits = Waits()
    stores = Databases(*(MemoryStore(utc_now) for _ in range(3)))
    overrides = Overrides(environment=Environment(os.urandom, waits), databases=stores)
    suite = Suite(Settings(Stage.LOCAL, folder, _URL), overrides)
    door = Client(open_gateway("no operator"))
    askers = [Asker(suite, door, f"admin-{number}") for number in range(WORKERS)]
    for asker in askers:
        key = paths.npub(public_key(asker.private_key))
        suite.databases.auth.commit([Create(key, {"user": asker.user})])
    wiring.use(suite)
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            results = list(pool.map(lambda asker: _asked(asker, waits), askers))
    finally:
        wiring.use(None)
    timings = {kind: [took for times, _ in results for took in times[kind]] for kind in KINDS}
    work_times = {kind: [took for _, times in results for took in times[kind]] for kind in KINDS}
    means = {f"{kind}_ms": fmean(times) / 1e6 for kind, times in timings.items()}
    work = {f"{kind}_work_ms": median(times) for kind, times in work_times.items()}
    ts = largest_t(timings)
    return Measured(max(ts.values()), {**ts, **means, **work, "samples_each": WORKERS * ROUNDS})


def _asked(asker: Asker, waits: Waits) -> tuple[dict[str, list[int]], dict[str, list[float]]]:
    """Return the times of an asker's refusals, and how much of each was work, by kind."""
    timings: dict[str, list[int]] = {kind: [] for kind in KINDS}
    work_times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    kinds, random = list(KINDS), Random(asker.user)  # noqa: S311 - an order, no secret
    for turn in range(WARM_UP + ROUNDS):
        random.shuffle(kinds)
        for kind in kinds:
            took = asker.refused(kind)
            if turn >= WARM_UP:
                timings[kind].append(took)
                work_times[kind].append(waits.work_milliseconds)
    return timings, work_times
