"""Usage on Firestore: counting, cutover and canaries do there what they do on the embedded stores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.encodings import base64url_encode
from keyturn.domain.policy import Policy
from keyturn.proofs.canaries import Canary
from keyturn.proofs.receipts import _signer

from tests.emulators import FIRESTORE
from tests.world import CLIENT

if TYPE_CHECKING:
    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = [*FIRESTORE, pytest.mark.world("alice", "bob", kind="firestore")]


def test_uses_are_added_up_and_told(world: FirestoreWorld) -> None:
    old = world.issue("alice", "bob")
    new = world.issue("alice", "bob")
    for _ in range(2):
        for secret in (old, new, new, "A" * 43):
            world.check(secret)
        world.suite.verification.telemetry.flush()
    told = world.operator(f"/clients/{CLIENT}/cutover").json or {}
    assert (told["old"]["uses"], told["new"]["uses"], told["failures"]["count"]) == (2, 4, 2)
    assert (told["telemetry"]["verifiers"], told["callers"][0]["lags"]) == (1, False)
    assert len(told["callers"][0]["caller"]) == 8
    world.suite.verification.telemetry.start()
    world.suite.verification.telemetry.close()
    assert (world.operator(f"/clients/{CLIENT}/cutover").json or {})["telemetry"]["complete_since"] is None


def test_canaries_open_the_way_to_promotion(world: FirestoreWorld) -> None:
    world.serve(Policy(minimum_not_before_seconds=0, minimum_interval_seconds=0, canaries=1))
    world.issue("alice", "bob")
    answer = world.send(world.admins["alice"].rotation()).json or {}
    rotation_id, version_id = str(answer["rotation_id"]), str(answer["version_id"])
    world.pump()
    secret = world.admins["alice"].secret(rotation_id)
    assert world.send(world.admins["bob"].ack(rotation_id)).status_code == 200
    assert world.sweep()["settled"] == 0
    asked = world.call("POST", "/client_token/canary/challenge", json.dumps({"client_id": CLIENT}).encode())
    canary = Canary(rotation_id, CLIENT, version_id, "pod-1", str((asked.json or {})["nonce"]))
    signature = base64url_encode(_signer(secret, CLIENT, version_id, rotation_id).sign(canary.signed_bytes()))
    fields = {name: getattr(canary, name) for name in Canary.__slots__}
    proven = world.call("POST", "/client_token/canary", json.dumps({**fields, "signature": signature}).encode())
    assert (proven.json or {})["canaries"] == 1
    assert world.sweep()["settled"] == 1
    assert world.check(secret)["version_id"] == version_id
