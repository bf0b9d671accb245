"""Leaked and retired secrets on Firestore: the hint's query, what a revocation costs, what an import writes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import bcrypt
import pytest
from keyturn.domain.secret_format import hint_of
from keyturn.proofs.receipts import LeakReport, sign_leak_report
from keyturn.records.retired_use import retired_use_path

from tests.emulators import FIRESTORE
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = [
    *FIRESTORE,
    pytest.mark.world("alice", "bob", client={"policy": {"scannable_secrets": True}}, kind="firestore"),
]


def test_a_leaked_secret_is_found_by_its_hint_and_revoked_in_two_reads_and_a_commit(world: FirestoreWorld) -> None:
    secret = world.issue("alice", "bob")
    world.pump()
    (found,) = cast("Any", world.operator(f"/versions?hint={hint_of(secret)}").json)["versions"]
    assert found["version_id"] == world.check(secret)["version_id"]
    ids = {"client_id": CLIENT, "version_id": found["version_id"], "made_by": found["rotation_id"]}
    successor, at = world.new_id(), world.milliseconds()
    signature = sign_leak_report(secret, LeakReport(**ids, replaced_by=successor, sighted_at=at))
    request = {**ids, "rotation_id": successor, "sighted_at": at, "signature": signature}
    with world.counting() as calls:
        answer = world.operator("/leak/revoke", request)
    assert answer.status_code == 200, answer.text
    assert Counter(calls) == Counter(BatchGetDocuments=2, Commit=1)
    assert not world.check(secret)["accepted"]
    assert world.operator("/leak/revoke", request).json == answer.json
    world.suite.verification.retired_secrets.turn()
    path = retired_use_path(found["version_id"])
    assert cast("Any", world.usage.get([path])[path].data)["times"] == 1


def test_an_imported_client_verifies_and_turns_over(world: FirestoreWorld) -> None:
    hashed = bcrypt.hashpw(b"the secret of old", bcrypt.gensalt(4)).decode()
    rows = [{"client_id": "old", "groups": [GROUP], "secret_hash": hashed}]
    assert cast("Any", world.operator("/imports", {"clients": rows}).json)["added"] == ["old"]
    assert cast("Any", world.operator("/imports", {"clients": rows}).json)["known"] == ["old"]
    assert world.check("the secret of old", "old")["state"] == "current"
    new = world.issue("alice", "bob", client_id="old")
    assert [world.check(one, "old")["state"] for one in ("the secret of old", new)] == ["grace", "current"]
