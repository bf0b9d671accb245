"""Keys that change while proofs are made and judged: no valid proof is refused, and no retired key's is accepted.

On one machine with threads, each with key file and key set of its own, as processes have them; for the cloud in
simulated time, where the signer, the publisher of the key set and the function that checks proofs each learn of a
change late.
"""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from keyturn.adapters.authorisation.attested import ProofAuthoriser
from keyturn.adapters.authorisation.jwks import FRESH_SECONDS, TrustedKeys
from keyturn.adapters.google_kms.key_versions import CloudKey
from keyturn.adapters.google_kms.keys import LAG_SECONDS, PUBLISHED_SECONDS, CloudSigner
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.adapters.signing_keys import public_key_of
from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import Unavailable
from keyturn.domain.proofs_policy import LIFETIME_SECONDS, Missing, ProofRefused, admin_rule
from keyturn.ports.authorisation import Act
from keyturn.ports.keys import KeyRefused
from keyturn.proofs.jws import read_unverified
from keyturn.use_cases.admin_proof.proof_token import ProofIssuer
from keyturn.use_cases.refusal_log import Refusals

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from keyturn.adapters.google_kms.rpc import KmsRpc
    from keyturn.ports.keys import TokenSigner

ISSUER, AUDIENCE = "https://keyturn.example/admin_proof", "https://keyturn.example/rotate_request"
ACT = Act("ab" * 32, "ops", "acme", "A" * 43, "alice")
METHODS = ("dev_attest", "pop", "totp")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def issuer(signer: TokenSigner) -> ProofIssuer:
    return ProofIssuer(signer, ISSUER, AUDIENCE)


def issued(by: ProofIssuer, now: datetime) -> str:
    return str(by.issue(ACT, "alice", base64url_encode(os.urandom(16)), METHODS, now)["jwt_proof"])


def kid_of(proof: str) -> str:
    return read_unverified(proof).header["kid"]


def authoriser(keys: TrustedKeys, clock: Callable[[], datetime]) -> ProofAuthoriser:
    refusals = Refusals(MemoryStore(clock), "rotate_request")
    return ProofAuthoriser(keys, ISSUER, AUDIENCE, admin_rule(("dev_attest",)), refusals)


def accepted(judge: ProofAuthoriser, store: MemoryStore, proof: str) -> bool:
    """Return whether a proof is good; the only reason against it may be its key."""
    try:
        judge.check(proof, ACT, store.get(judge.reads(proof)))
    except ProofRefused as refused:
        assert refused.missing == (Missing.SIGNATURE,)  # noqa: PT017 - what it says is half of the outcome
        return False
    return True


# --- one machine ------------------------------------------------------------------------------------------------------

ROLLS = 12
WORKERS = 3
PAUSE = 0.02


@dataclass(frozen=True)
class Judged:
    """A proof that was judged: by which key it was, between which times, and whether it was good."""

    kid: str
    began: float
    ended: float
    good: bool


@dataclass
class Roll:
    """Threads that make and judge proofs while keys are added and disabled."""

    path: Path
    fresh_seconds: float
    pause_seconds: float
    disabling: dict[str, float] = field(default_factory=dict)
    disabled: dict[str, float] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def keys(self) -> LocalKeys:
        return LocalKeys.open_or_create(self.path, os.urandom)

    def roll(self) -> None:
        keys = self.keys()
        for _ in range(ROLLS):
            keys.add_version("sign")
            time.sleep(PAUSE)
            oldest = keys.enabled("sign")[-1].name
            kid = keys.kid_of(oldest)
            self.disabling[kid] = time.monotonic()
            keys.disable(oldest)
            self.disabled[kid] = time.monotonic()
            time.sleep(PAUSE)
        time.sleep(self.fresh_seconds + PAUSE)
        self.over.set()

    def work(self, seed: int) -> None:
        random, store = Random(seed), MemoryStore(lambda: datetime.now(UTC))
        makes, published = issuer(self.keys().signer), issuer(self.keys().signer)
        fetch = lambda: json.dumps(published.jwks()).encode()  # noqa: E731 - as short as it is
        fresh = {"fresh_seconds": self.fresh_seconds, "pause_seconds": self.pause_seconds}
        judge = authoriser(TrustedKeys(fetch, time.monotonic, **fresh), lambda: datetime.now(UTC))
        while not self.over.is_set():
            self.kept.append(issued(makes, datetime.now(UTC)))
            for proof in (self.kept[-1], random.choice(self.kept)):
                self.judge(judge, store, proof)

    def judge(self, judge: ProofAuthoriser, store: MemoryStore, proof: str) -> None:
        for _ in range(200):
            began = time.monotonic()
            try:
                good = accepted(judge, store, proof)
            except Unavailable:  # "not now" is no refusal: the caller sends the same again
                time.sleep(self.pause_seconds)
                continue
            self.judged.append(Judged(kid_of(proof), began, time.monotonic(), good))
            return
        raise AssertionError("a proof was never judged")


@pytest.mark.parametrize(
    ("fresh_seconds", "pause_seconds"), [(0.0, 0.0), (0.1, 0.005)], ids=["at hand", "fetched and kept"]
)
def test_keys_roll_while_proofs_are_made_and_judged(tmp_path: Path, fresh_seconds: float, pause_seconds: float) -> None:
    roll = Roll(tmp_path / "keys.json", fresh_seconds, pause_seconds)
    roll.keys()
    with ThreadPoolExecutor(WORKERS + 1) as pool:
        working = [pool.submit(roll.work, seed) for seed in range(WORKERS)]
        pool.submit(roll.roll).result()
    for worker in working:
        worker.result()

    never = float("inf")
    refused = [item for item in roll.judged if not item.good]
    assert [item for item in refused if item.ended < roll.disabling.get(item.kid, never)] == []
    late = [
        item for item in roll.judged if item.good and item.began >= roll.disabled.get(item.kid, never) + fresh_seconds
    ]
    assert late == []
    assert len({item.kid for item in roll.judged if item.good}) > ROLLS // 2  # it was in flight while they changed
    assert len({item.kid for item in refused}) > ROLLS // 2


# --- the cloud, in simulated time -------------------------------------------------------------------------------------


class Kms:
    """A key service with one signing key; what it says of its versions is true at once."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._made: dict[str, datetime] = {}
        self.add()

    def add(self) -> str:
        name = f"projects/p/cryptoKeys/sign/cryptoKeyVersions/{len(self._keys) + 1}"
        self._keys[name] = ec.generate_private_key(ec.SECP256R1())
        self._made[name] = self._clock()
        return name

    def disable(self, name: str) -> None:
        del self._made[name]

    def enabled_versions(self, _key: str) -> Mapping[str, datetime]:
        return dict(self._made)

    def asymmetric_sign(self, name: str, digest: bytes) -> bytes:
        return self._enabled(name).sign(digest, ec.ECDSA(Prehashed(SHA256())))

    def public_key(self, name: str) -> bytes:
        return self._enabled(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def kid(self, number: int) -> str:
        """Return the `kid` of a version, enabled or not."""
        return public_key_of(list(self._keys.values())[number - 1].public_key(), "ES256").kid

    def _enabled(self, name: str) -> ec.EllipticCurvePrivateKey:
        if name not in self._made:
            raise KeyRefused("the key version is unknown or disabled")
        return self._keys[name]


class Cloud:
    """An instance that signs, one that publishes the key set, and one that judges by it, each with what it keeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.kms = Kms(self.now)
        self.makes, self.publishes = issuer(self.signer()), issuer(self.signer())
        fetch = lambda: json.dumps(self.publishes.jwks()).encode()  # noqa: E731 - as short as it is
        self.judge = authoriser(TrustedKeys(fetch, lambda: self.seconds), self.now)
        self.store = MemoryStore(self.now)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def signer(self) -> CloudSigner:
        key = CloudKey(
            lambda: cast("KmsRpc", self.kms), "projects/p/cryptoKeys/sign", lambda: self.seconds, LAG_SECONDS
        )
        return CloudSigner(key, lambda: self.now() - timedelta(seconds=PUBLISHED_SECONDS), "ES256")

    def run(self, acts: Mapping[int, Callable[[], object]], until: int, seed: int) -> list[Judged]:
        """Make a proof every few seconds, and judge each at some time of its life; `acts` happen at their second."""
        random, waiting, judged = Random(seed), dict[int, list[str]](), list[Judged]()
        for second in range(until):
            self.seconds = float(second)
            acts.get(second, lambda: None)()
            if second % 3 == 0:
                due = second + random.randrange(LIFETIME_SECONDS - 1)
                waiting.setdefault(due, []).append(issued(self.makes, self.now()))
            for proof in waiting.pop(second, []):
                judged.append(Judged(kid_of(proof), second, second, accepted(self.judge, self.store, proof)))
        return judged


@pytest.mark.parametrize("seed", range(5))
def test_a_planned_roll_in_the_cloud_refuses_nothing(seed: int) -> None:
    """The old version is disabled once it signs no more and all of its proofs have expired (docs/runbook.md)."""
    cloud = Cloud()
    added = 100
    disabled = added + int(PUBLISHED_SECONDS + LAG_SECONDS) + LIFETIME_SECONDS
    acts = {added: cloud.kms.add, disabled: lambda: cloud.kms.disable(next(iter(cloud.kms.enabled_versions(""))))}
    judged = cloud.run(acts, disabled + 600, seed)
    assert all(item.good for item in judged)  # and none was put off: `Unavailable` would have ended the run
    last_of_old = max(item.began for item in judged if item.kid == cloud.kms.kid(1))
    assert {item.kid for item in judged} == {cloud.kms.kid(1), cloud.kms.kid(2)}
    assert added + PUBLISHED_SECONDS < last_of_old < disabled


@pytest.mark.parametrize("seed", range(5))
def test_a_stolen_keys_proofs_end_in_the_cloud_within_what_two_key_sets_are_kept(seed: int) -> None:
    """Disabled at once: what it signed is refused by the time that the two key sets on the way are renewed."""
    cloud = Cloud()
    stolen, at = next(iter(cloud.kms.enabled_versions(""))), 1000
    forged: list[str] = []
    acts: dict[int, Callable[[], object]] = {
        100: cloud.kms.add,
        at - 1: lambda: forged.extend(_signed_with(cloud, stolen, cloud.now()) for _ in range(200)),
        at: lambda: cloud.kms.disable(stolen),
    }
    judged = cloud.run(acts, at, seed)
    assert all(item.good for item in judged)
    late = []
    for second, proof in enumerate(forged, at):
        cloud.seconds = float(second)
        acts.get(second, lambda: None)()
        if accepted(cloud.judge, cloud.store, proof):
            late.append(second - at)
    assert max(late, default=0) < LAG_SECONDS + FRESH_SECONDS
    assert accepted(cloud.judge, cloud.store, issued(cloud.makes, cloud.now()))


def _signed_with(cloud: Cloud, name: str, now: datetime) -> str:
    """Return a proof by a version that is not the current one any more."""

    class Stuck(CloudSigner):
        def current(self) -> str:
            return cloud.kms.kid(int(name.rpartition("/")[2]))

    key = CloudKey(lambda: cast("KmsRpc", cloud.kms), "projects/p/cryptoKeys/sign", lambda: cloud.seconds, LAG_SECONDS)
    return issued(issuer(Stuck(key, cloud.now, "ES256")), now)


def test_a_key_that_is_disabled_while_it_signs_costs_no_code() -> None:
    cloud = Cloud()
    issued(cloud.makes, cloud.now())
    cloud.kms.add()
    cloud.kms.disable("projects/p/cryptoKeys/sign/cryptoKeyVersions/1")
    assert kid_of(issued(cloud.makes, cloud.now())) == cloud.kms.kid(2)  # the instance still took 1 for the current one


@pytest.mark.parametrize(("wait", "refused_for"), [(int(LAG_SECONDS) + 1, 0), (0, LAG_SECONDS)])
@pytest.mark.parametrize("added", [1000, 1017, 1034])
def test_a_roll_in_haste_refuses_nothing_after_a_minutes_wait_and_else_for_a_minute(
    added: int, wait: int, refused_for: float
) -> None:
    """A leaked key's successor signs before it was published for long: it must have been listed by then, at least."""
    cloud = Cloud()
    old = next(iter(cloud.kms.enabled_versions("")))
    refused = []
    for second in range(900, added + wait + 300):
        cloud.seconds = float(second)
        if second == added:
            cloud.kms.add()
        if second == added + wait:
            cloud.kms.disable(old)
        if not accepted(cloud.judge, cloud.store, issued(cloud.makes, cloud.now())):
            refused.append(second - added - wait)
    assert max(refused, default=-1) < refused_for
