"""Row: the import cost of a function over functions-framework plus exactly its vendor clients. The worst one counts.

Each function is imported in a process of its own, five times, in turns. Processor time is measured, because a busy
machine distorts it least. First the framework and the clients of CLIENTS are imported, then the function: both shares
come from one process, so that noise affects both. Then everything is wired that the function's requests need, reported
as `ready`. A function that has then loaded a client that CLIENTS does not name, or lacks one of them, raises
`UnlikeClientsError`, because the floor would be another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import main as doors
from bench.rows import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 5
ROOT = Path(__file__).parent.parent
FIRESTORE = "google.cloud.firestore_v1.services.firestore"
KMS = "google.cloud.kms_v1.services.key_management_service"
PUBSUB = "google.pubsub_v1.services.publisher"
FIREBASE = "firebase_admin.auth"
_ALL = (FIRESTORE, KMS, PUBSUB, FIREBASE, "google.cloud.storage", "google.cloud.secretmanager")
_READ = "suite.databases.control._channel.rpc"
_KEYS = "suite.keys.rpc"
_AUTH = "import firebase_admin.auth"  # what the first ID token loads


class UnlikeClientsError(Exception):
    """A door loads other vendor clients than it is said to use."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The vendor clients that a door's requests need, and what wires them."""

    clients: tuple[str, ...]
    wiring: str


CLIENTS: Mapping[str, Ready] = {
    "admin_proof": Ready((FIRESTORE, KMS, FIREBASE), f"{_READ}; {_KEYS}; suite.proofs.prove_admin; {_AUTH}"),
    "client_token": Ready(
        (FIRESTORE, KMS), f"{_READ}; {_KEYS}; suite.verification.verifier; suite.verification.tokens"
    ),
    "distribute": Ready((FIRESTORE, KMS), f"{_READ}; {_KEYS}; suite.distribution.distribute"),
    "enrol": Ready((FIRESTORE, KMS), f"{_READ}; {_KEYS}; suite.enrolment.join; suite.enrolment.approvals"),
    "grace_sweeper": Ready((FIRESTORE, KMS, PUBSUB), f"{_READ}; {_KEYS}; suite.bus._client; suite.distribution.sweep"),
    "on_secret_version": Ready((FIRESTORE, PUBSUB), f"{_READ}; suite.bus._client; suite.distribution.publish"),
    "operator": Ready(
        (FIRESTORE, KMS),
        f"{_READ}; {_KEYS}; suite.operator.administration; suite.operator.suspension; suite.status",
    ),
    "rotate_request": Ready((FIRESTORE, KMS), f"{_READ}; {_KEYS}; suite.commands.accept"),
    "status": Ready((FIRESTORE,), f"{_READ}; suite.status"),
}
"""By door. Identities are Firebase's, as in a deployment: `admin_proof` asks it for every proof. `enrol` asks it for
registrations only, and is held to the smaller floor of its other requests."""
_PROGRAM = """
import json, sys, time
marks = [time.process_time()]
import functions_framework
{clients}
marks.append(time.process_time())
import functions.{door}.main
marks.append(time.process_time())
from keyturn.entry.composition.suite import current
suite = current()
{wiring}
marks.append(time.process_time())
print(json.dumps([marks, [name for name in {vendor_modules} if name in sys.modules]]))
"""


@dataclass(frozen=True, slots=True)
class Shares:
    """Processor time of one process, in milliseconds: the floor, the door's import, the wiring of what it needs."""

    floor: float
    door: float
    wiring: float


def door_import_vs_floor(_folder: Path) -> Measured:
    """Return the worst function's import time over the floor. Reports each function's, and the time until ready."""
    if set(CLIENTS) != set(doors.FUNCTIONS):
        raise UnlikeClientsError
    for door in CLIENTS:
        clients_of(door)
        imported(door)  # writes what Python keeps of compiled modules
    runs_by_function = {door: [imported(door) for _ in range(ROUNDS)] for door in CLIENTS}
    ratios = {door: median((it.floor + it.door) / it.floor for it in runs) for door, runs in runs_by_function.items()}
    ready = {
        door: median((it.floor + it.door + it.wiring) / it.floor for it in runs)
        for door, runs in runs_by_function.items()
    }
    parts = {f"{door}_ratio": ratio for door, ratio in ratios.items()}
    worst = max(ready, key=lambda door: ready[door])
    return Measured(max(ratios.values()), {**parts, f"worst_ready_ratio_{worst}": ready[worst]})


def imported(door: str) -> Shares:
    """Import a door in a new process, after the clients that it uses."""
    marks = _run(door, CLIENTS[door].clients)[0]
    return Shares(*((later - earlier) * 1000 for earlier, later in pairwise(marks)))


def clients_of(door: str) -> frozenset[str]:
    """Return the vendor clients that a function loads until it is ready. Raises `UnlikeClientsError` for others."""
    loaded = frozenset(_run(door, ())[1])
    if loaded != frozenset(CLIENTS[door].clients):
        raise UnlikeClientsError(door)
    return loaded


def _run(door: str, clients: tuple[str, ...]) -> tuple[list[float], list[str]]:
    ready = CLIENTS[door]
    program = _PROGRAM.format(
        clients="\n".join(_imports(name) for name in clients),
        door=door,
        wiring=ready.wiring,
        vendor_modules=_ALL,
    )
    completed = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], cwd=ROOT, env=_environment(), capture_output=True, check=True, text=True
    )
    marks, loaded = json.loads(completed.stdout)
    return marks, loaded


def _imports(client: str) -> str:
    # Google's generated clients load their transports when the first is made.
    return f"import {client}" if client == FIREBASE else f"import {client}, {client}.transports"


def _environment() -> Mapping[str, str]:
    """Return the settings of a deployed function, with unreachable addresses: an import makes no calls."""
    base_environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ring = "projects/p/locations/l/keyRings/r/cryptoKeys"
    keys = {f"KEYTURN_{name.upper()}_KEY": f"{ring}/{name}" for name in ("mac", "seal", "sign")}
    hosts = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "KEYTURN_KMS_EMULATOR_HOST")
    addresses = dict.fromkeys(hosts, "127.0.0.1:1")
    people = {"IDENTITY": "firebase", "FIREBASE_PROJECT": "p", "ATTESTATIONS": "app_check"}
    phones = {"APP_CHECK_PROJECT": "1", "APP_CHECK_APPS": "1:1:ios:a"}
    proofs = {f"KEYTURN_{name}": value for name, value in {**people, **phones}.items()}
    return {**base_environment, **keys, **addresses, **proofs, "KEYTURN_STAGE": "local", "KEYTURN_PROJECT": "p"}
