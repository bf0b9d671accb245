"""The oracle: what it calls a broken promise, and that it shares no code with what it judges."""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulation import oracle as oracle_module
from tests.simulation.oracle import Checked, Oracle, _base64url, _length_prefixed

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = b"k" * 32
OLD, NEW = "01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB"


def mac(_key_ref: str, data: bytes) -> bytes:
    return hmac.digest(KEY, data, hashlib.sha256)


def delivery(version: str, secret: str = "s" * 43, **changes: Any) -> Mapping[str, Any]:  # noqa: ANN401 - fields
    default = {
        "client_id": "acme",
        "version_id": version,
        "rotation_id": f"rotation of {version}",
        "secret": secret,
        "secret_hash": _base64url(mac("", _length_prefixed("acme", version, secret))),
        "mac_key_ref": "local/mac/1",
        "grace_until": 3_600_000,
        "not_before": 0,
        "at": 0.0,
    }
    return {**default, **changes}


def check(version: str, at: float, *, accepted: bool, **changes: Any) -> Checked:  # noqa: ANN401 - fields
    default: dict[str, Any] = {
        "client_id": "acme",
        "version_id": version,
        "began": at - 0.1,
        "ended": at,
        "store_ms": round(at * 1000),
        "is_accepted": accepted,
        "state": "current",
        "is_active": True,
        "verifier": "verifier-1",
    }
    return Checked(**{**default, **changes})


@pytest.fixture
def oracle() -> Oracle:
    oracle = Oracle(mac)
    oracle.note_delivery(delivery(OLD))
    oracle.note_check(check(OLD, 10, accepted=True))
    oracle.note_delivery(delivery(NEW))
    oracle.note_check(check(NEW, 20, accepted=True))
    return oracle


def rules(oracle: Oracle) -> list[str]:
    return [violation.rule for violation in oracle.violations]


def test_a_grace_that_ends_as_promised_is_no_violation(oracle: Oracle) -> None:
    oracle.note_check(check(OLD, 3_590, accepted=True))
    oracle.note_check(check(OLD, 3_601, accepted=False))
    oracle.note_check(check(NEW, 3_602, accepted=True))
    assert rules(oracle) == []


def test_refused_secret_stays_dead(oracle: Oracle) -> None:
    oracle.note_check(check(OLD, 3_601, accepted=False))
    oracle.note_check(check(OLD, 3_605, accepted=True))  # a verdict may be as old as the staleness bound
    assert rules(oracle) == []
    oracle.note_check(check(OLD, 3_610, accepted=True))
    assert rules(oracle) == ["dead stays dead"]


def test_refusal_of_a_suspended_client_says_nothing_about_the_secret(oracle: Oracle) -> None:
    oracle.note_command("suspend", "acme", 30)
    oracle.note_check(check(NEW, 31, accepted=False, is_active=False))
    oracle.note_check(check(NEW, 60, accepted=True))
    assert rules(oracle) == []


def test_grace_is_kept_unless_a_command_may_end_it(oracle: Oracle) -> None:
    oracle.note_check(check(OLD, 100, accepted=False))
    assert rules(oracle) == ["the promised grace is kept"]
    oracle.violations.clear()
    oracle.note_command("retire", "acme", 101)
    oracle.note_check(check(OLD, 102, accepted=False))
    assert rules(oracle) == []


def test_only_secret_is_accepted(oracle: Oracle) -> None:
    oracle.note_check(check(NEW, 50, accepted=False))
    assert rules(oracle) == ["the right secret is accepted"]


def test_active_client_has_a_secret_that_verifies(oracle: Oracle) -> None:
    oracle.note_probe("acme", {OLD: False, NEW: True}, 30)
    assert rules(oracle) == []
    oracle.note_probe("acme", {OLD: False, NEW: False}, 31)
    assert rules(oracle) == ["an active client has a secret that verifies"]


@pytest.mark.parametrize(("because", "at", "broken"), [("canceled", 30, 0), ("canceled", 70, 1), ("revoked", 30, 1)])
def test_a_cancellation_committed_after_the_promotion_explains_a_refusal(
    oracle: Oracle, because: str, at: float, broken: int
) -> None:
    oracle.note_check(check(NEW, 25, accepted=True))
    oracle.note_document(f"oauth2_clients/acme/secrets/{NEW}", {"state": "retired", "retired_because": because}, at)
    oracle.note_check(check(NEW, at + 10, accepted=False))
    assert rules(oracle) == ["the right secret is accepted"] * broken


def test_stored_retirement_is_final(oracle: Oracle) -> None:
    path = f"oauth2_clients/acme/secrets/{OLD}"
    oracle.note_document(path, {"state": "retired", "retired_because": "revoked"}, 30)
    oracle.note_check(check(OLD, 33, accepted=True))
    assert rules(oracle) == []
    oracle.note_check(check(OLD, 40, accepted=True))
    oracle.note_document(path, {"state": "grace"}, 50)
    assert rules(oracle) == ["dead stays dead", "dead stays dead"]


def test_secret_belongs_to_the_stored_hash(oracle: Oracle) -> None:
    stored = delivery(NEW)["secret_hash"]
    oracle.note_document(f"oauth2_clients/acme/secrets/{NEW}", {"state": "pending", "secret_hash": stored}, 30)
    assert rules(oracle) == []
    oracle.note_document(f"oauth2_clients/acme/secrets/{NEW}", {"state": "pending", "secret_hash": "other"}, 31)
    oracle.note_delivery(delivery(NEW, "t" * 43))
    assert rules(oracle) == ["secret and hash agree", "one version, one secret"]


def test_the_same_event_gets_the_same_answer(oracle: Oracle) -> None:
    oracle.note_answer("event", 200, {"phase": "requested"}, 10)
    oracle.note_answer("event", 503, {}, 20)
    oracle.note_answer("event", 200, {"phase": "requested"}, 30)
    assert rules(oracle) == []
    oracle.note_answer("event", 200, {"phase": "distributed"}, 40)
    oracle.note_answer("event", 409, {"reason": "rotation_active"}, 50)
    assert rules(oracle) == ["the same event, the same answer"] * 2


def chain(*contents: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the documents of a client whose audit has these entries."""
    documents: dict[str, Mapping[str, Any]] = {}
    previous = "0" * 64
    for seq, content in enumerate(contents, 1):
        entry = {"seq": seq, "prev": previous, **content}
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(text.encode()).hexdigest()
        documents[f"oauth2_clients/acme/audit/{seq:012}"] = {**entry, "hash": previous}
    return {**documents, "oauth2_clients/acme": {"audit_head": {"seq": len(contents), "hash": previous}}}


def entry(action: str) -> Mapping[str, Any]:
    return {"action": action, "ids": {"rotation_id": "r"}, "before": {}, "after": {}}


def test_audit_is_recounted(oracle: Oracle) -> None:
    rotation = {"oauth2_rotations/r": {"client_id": "acme", "phase": "completed"}}
    oracle.judge_audit({**chain(entry("request"), entry("promote")), **rotation}, 10)
    assert rules(oracle) == []
    oracle.judge_audit({**chain(entry("request")), **rotation}, 10)
    assert rules(oracle) == ["each transition has one audit entry"]
    whole = chain(entry("request"), entry("promote"))
    path = f"oauth2_clients/acme/audit/{1:012}"
    oracle.judge_audit({**whole, path: {**whole[path], "action": "cancel"}}, 10)
    assert rules(oracle)[1:] == ["the audit is whole"]


def test_plaintext_is_found_wherever_it_is(oracle: Oracle) -> None:
    oracle.judge_plaintext([b"x" * 32], [("a log line", "nothing here")], 10)
    assert rules(oracle) == []
    oracle.judge_plaintext([b"x" * 32], [("a log line", f"secret {_base64url(b'x' * 32)}")], 10)
    oracle.judge_plaintext([], [("a document", f"{{'secret': '{'s' * 43}'}}")], 10)
    assert rules(oracle) == ["no plaintext", "no plaintext"]


def test_oracle_shares_no_code_with_the_suite() -> None:
    # It would repeat the mistakes of what it judges.
    tree = ast.parse(Path(oracle_module.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert sorted(name for name in names if name.startswith(("keyturn", "tests"))) == []
