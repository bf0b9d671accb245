"""Row: whether time tells an unknown admin, a wrong code and a wrong device apart, at the door `admin_proof`.

What is timed is what a caller can time: a whole request to `/admin_proof/proof`, from the call into the door to its
answer, in this process. Every refusal waits for a full multiple of half a second; what is left to see is what comes
after the wait, and how exactly it ends. Of how long the work before the wait took, whoever asks sees nothing: it is
told beside (`…_work_ms`), and differs, as it may: only a wrong code is written down. It must not take longer than the
wait, so the store is one in memory: nothing is said of a disk or a network that takes half a second for a commit.
Who gets as far as a wrong code has passed every other factor; a stranger sees the other two kinds only.

WORKERS ask at once, each as an admin of its own, so that the row takes less than a minute: the samples are noisier for
it, and there are enough of them. Kinds come in turns of random order. How they are told apart: alike.py.
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
from keyturn.adapters.memory_store import MemoryStore
from keyturn.domain.encodings import base64url_encode
from keyturn.entry.composition import suite as wiring
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
    """An admin of whom each kind of refusal is asked; `stranger` is a key that nobody registered."""

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
        asked = {
            "challenge": challenge,
            "id_token": self.suite.proofs.local_authority.issue(self.user, now),
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
        body = json.dumps(asked).encode()
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
    suite = Suite(Settings(Stage.LOCAL, folder, _URL), Environment(os.urandom, waits))
    # What is there already, a cached property does not build.
    vars(suite)["databases"] = Databases(*(MemoryStore(utc_now) for _ in range(3)))
    door = Client(open_gateway("no operator"))
    askers = [Asker(suite, door, f"admin-{number}") for number in range(WORKERS)]
    for asker in askers:
        key = paths.npub(public_key(asker.private_key))
        suite.databases.auth.commit([Create(key, {"user": asker.user})])
    wiring.use(suite)
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            found = list(pool.map(lambda asker: _asked(asker, waits), askers))
    finally:
        wiring.use(None)
    taken = {kind: [took for times, _ in found for took in times[kind]] for kind in KINDS}
    worked = {kind: [took for _, times in found for took in times[kind]] for kind in KINDS}
    means = {f"{kind}_ms": fmean(times) / 1e6 for kind, times in taken.items()}
    work = {f"{kind}_work_ms": median(times) for kind, times in worked.items()}
    ts = largest_t(taken)
    return Measured(max(ts.values()), {**ts, **means, **work, "samples_each": WORKERS * ROUNDS})


def _asked(asker: Asker, waits: Waits) -> tuple[dict[str, list[int]], dict[str, list[float]]]:
    """Return the times of an asker's refusals, and how much of each was work, by kind."""
    taken: dict[str, list[int]] = {kind: [] for kind in KINDS}
    worked: dict[str, list[float]] = {kind: [] for kind in KINDS}
    kinds, random = list(KINDS), Random(asker.user)  # noqa: S311 - an order, no secret
    for turn in range(WARM_UP + ROUNDS):
        random.shuffle(kinds)
        for kind in kinds:
            took = asker.refused(kind)
            if turn >= WARM_UP:
                taken[kind].append(took)
                worked[kind].append(waits.work_milliseconds)
    return taken, worked
