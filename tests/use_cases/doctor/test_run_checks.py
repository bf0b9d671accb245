"""Breaches planted in a store that a real rotation made: each is found and named, and the healthy store has none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain import audit_chain as audit
from keyturn.domain.encodings import base64url_decode, base64url_encode
from keyturn.ports.effects import Environment
from keyturn.proofs.nostr import sign_event
from keyturn.records import paths
from keyturn.use_cases.doctor.run_checks import RunChecks

from tests.local.rotated import CLIENT, Patient, Rotated, patient, rotated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keyturn.use_cases.doctor.run_checks import CheckResult

LATER = datetime(2100, 1, 1, tzinfo=UTC)
GROUP, ROSTER = paths.group("ops"), paths.roster("ops")
OPS_CHAIN = audit.group_chain("ops")
NOT_SENT = "the notice of a distributed rotation is not in its group's log"
OTHER_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Rotated:
    return rotated(tmp_path_factory.mktemp("rotated"))


@pytest.fixture
def ill(healthy: Rotated, tmp_path: Path) -> Iterator[Patient]:
    opened = patient(healthy, tmp_path / "data")
    yield opened
    opened.close()


def examine(opened: Patient, read_head: Callable[[bytes], Any] | None = None) -> CheckResult:
    from keyturn.adapters.mls import message_headers as message_heads_mls

    suite = opened.suite
    return RunChecks(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=read_head or message_heads_mls.read_head,
        environment=Environment(bytes, lambda _seconds: None),
    )()


# --- plantings -------------------------------------------------------------------------------------------------------


def entry(seq: int) -> str:
    return paths.audit_entry("acme", seq)


def message(index: int) -> str:
    return paths.message("ops", index)


def _last_entry(ill: Patient) -> str:
    return entry(ill.client["audit_head"]["seq"])


def _rechain(ill: Patient, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the client's entries and make a whole chain of them again: what only a replay can find."""
    entries = [ill.data(entry(seq)) for seq in range(1, ill.client["audit_head"]["seq"] + 1)]
    change(entries)
    ill.set(CLIENT, audit_head=_write_chain(ill, "acme", entries))


def _write_chain(ill: Patient, chain: str, entries: list[dict[str, Any]]) -> dict[str, object]:
    """Write entries as a whole chain, and return its head."""
    head = audit.Head()
    for content in entries:
        content.pop("hash")
        content.update(seq=head.seq + 1, prev=head.hash)
        head = audit.Head(head.seq + 1, audit.entry_hash(content))
        ill.put(paths.audit_entry(chain, head.seq), {**content, "hash": head.hash})
    return {"seq": head.seq, "hash": head.hash}


def _edit_ack(ill: Patient, **changes: object) -> None:
    ill.edit(ill.last_rotation, lambda rotation: rotation["acks"][0].update(changes))


def _edit_live(ill: Patient, **changes: object) -> None:
    ill.edit(CLIENT, lambda client: client["live"]["current"].update(changes))


def _forged(ill: Patient, path: str) -> None:
    """Sign an event's content again, with a key that is not the service's."""
    event = json.loads(ill.data(path)["event"])
    signed = sign_event(
        bytes([7]) * 32,
        kind=event["kind"],
        tags=event["tags"],
        content=event["content"],
        created_at=event["created_at"],
        random=bytes,
    )
    ill.set(path, event=signed.to_json())


def _for_another_group(ill: Patient, path: str) -> None:
    content = base64url_decode(json.loads(ill.data(path)["event"])["content"])
    ill.set(path, event=ill.suite.groups.envelope(445, "other", content, datetime.now(UTC)))


def _swap(ill: Patient, one: str, other: str) -> None:
    events = {name: {key: ill.data(path)[key] for key in ("event", "kind")} for name, path in ((1, one), (2, other))}
    ill.set(one, **events[2])
    ill.set(other, **events[1])


def _key_package(ill: Patient) -> str:
    (first, *_) = (item.path for item in ill.suite.databases.control.query(_key_packages()))
    return first


def _key_packages() -> Any:  # noqa: ANN401 - a query; imported late for the table's sake
    from keyturn.ports.store import Query

    return Query("key_packages", order_by="group_id")


def _welcome(ill: Patient) -> str:
    return _key_package(ill).replace("key_packages/", "welcomes/")


def _chain(ill: Patient, chain: str) -> list[str]:
    """Return the paths of a chain's entries in order."""
    return [paths.audit_entry(chain, seq) for seq in range(1, ill.data(paths.audit_head(chain))["seq"] + 1)]


def _drop_chain(ill: Patient, chain: str) -> None:
    _drop(ill, *_chain(ill, chain), paths.audit_head(chain))


def _drop(ill: Patient, *places: str) -> None:
    for path in places:
        ill.drop(path)


def _begin_again(ill: Patient) -> None:
    """Delete the group's chain, and have the next act begin a new one."""
    _drop_chain(ill, OPS_CHAIN)
    ill.suite.operator.invites("erin", "ops")


def _flipped(text: str) -> str:
    data = base64url_decode(text)
    return base64url_encode(bytes([data[0] ^ 1]) + data[1:])


PLANTED: dict[str, tuple[Callable[[Patient], object], str]] = {
    # invariant 1: one current version, at most one in grace; pointers, live and states agree
    "current names nothing": (
        lambda ill: ill.set(CLIENT, current_version=OTHER_ID),
        "the client refers to a version that is missing",
    ),
    "lock names nothing": (
        lambda ill: ill.set(CLIENT, active_rotation=OTHER_ID),
        "the client refers to a rotation that is missing",
    ),
    "version deleted": (lambda ill: ill.drop(ill.previous), "the client refers to a version that is missing"),
    "two current": (lambda ill: ill.set(ill.previous, state="current"), "the versions that are current disagree"),
    "grace without end": (lambda ill: ill.set(ill.previous, not_after=None), "a version in grace has no end"),
    "current with an end": (lambda ill: ill.set(ill.current, not_after=LATER), "the current version has an end"),
    "retired for nothing": (lambda ill: ill.set(ill.previous, state="retired"), "retired without a reason"),
    "lock let go": (
        lambda ill: ill.set(CLIENT, active_rotation=None),
        "the lock and the open rotations disagree",
    ),
    "ended without an outcome": (
        lambda ill: ill.set(ill.last_rotation, outcome=None),
        "a rotation is completed without an outcome",
    ),
    "live of another state": (lambda ill: _edit_live(ill, not_before=LATER), "the verifier's copy (live)"),
    "live brings a retired version back": (
        lambda ill: ill.edit(CLIENT, lambda client: client["live"].update(previous=client["live"]["current"])),
        "the verifier's copy (live)",
    ),
    "sweeper told too late": (
        lambda ill: ill.set(CLIENT, next_due_at=LATER),
        "the sweeper's time (next_due_at) differs",
    ),
    "sweeper told nothing": (lambda ill: ill.set(CLIENT, next_due_at=None), "the sweeper's time (next_due_at) differs"),
    "another shard": (
        lambda ill: ill.set(CLIENT, due_shard=(ill.client["due_shard"] + 1) % 16),
        "in the wrong shard",
    ),
    "policy out of bounds": (lambda ill: ill.set(CLIENT, policy={"quorum": 0}), "outside its bounds"),
    "live tells another end of the last rotation": (
        lambda ill: ill.edit(CLIENT, lambda client: client["live"]["last"].update(outcome="rolled_back")),
        "the verifier's copy (live)",
    ),
    # invariant 2: a live version verifies
    "hash gone": (lambda ill: ill.set(ill.current, secret_hash=None), "no hash to verify against"),
    "hash of another length": (
        lambda ill: ill.set(ill.current, secret_hash="AAAA"),
        "a live version's hash is malformed",
    ),
    "key unknown": (
        lambda ill: ill.set(ill.current, mac_key_ref="local/mac/9"),
        "a live version's MAC key is unknown or disabled",
    ),
    "key disabled": (lambda ill: ill.suite.keys.disable("local/mac/1"), "MAC key is unknown or disabled"),
    # invariant 4: promoted only with a quorum of valid acks, over the secret that the hash verifies
    "no acks": (lambda ill: ill.set(ill.last_rotation, acks=[]), "promoted without its quorum"),
    "acks of no recipient": (
        lambda ill: ill.set(ill.last_rotation, recipients=[]),
        "promoted without its quorum",
    ),
    "receipt of another moment": (lambda ill: _edit_ack(ill, ack_at=1), "receipt does not verify"),
    "receipt forged": (
        lambda ill: ill.edit(
            ill.last_rotation, lambda r: r["acks"][0].update(receipt=_flipped(r["acks"][0]["receipt"]))
        ),
        "receipt does not verify",
    ),
    "no receipt where policy wants one": (lambda ill: _edit_ack(ill, receipt=None), "receipt does not verify"),
    "receipt key of another secret": (
        lambda ill: ill.edit(ill.current, lambda version: version.update(receipt_key=_flipped(version["receipt_key"]))),
        "receipt does not verify",
    ),
    "hash of another secret": (
        lambda ill: ill.edit(ill.current, lambda version: version.update(secret_hash=_flipped(version["secret_hash"]))),
        "receipt does not verify",
    ),
    "promoted too early": (
        lambda ill: ill.set(ill.last_rotation, not_before=LATER),
        "promoted before its time or its quorum",
    ),
    # invariant 5: one rotation, one version
    "another rotation's version": (
        lambda ill: ill.edit(ill.current, lambda version: version.update(rotation_id=ill.client["active_rotation"])),
        "do not refer to each other",
    ),
    "old version unknown": (
        lambda ill: ill.set(ill.last_rotation, old_version=OTHER_ID),
        "the version that a rotation replaces is missing",
    ),
    "rotation elsewhere": (
        lambda ill: ill.put(paths.rotation(OTHER_ID), ill.data(ill.last_rotation)),
        "a document's ids differ from its path",
    ),
    "no entity": (lambda ill: ill.set(ill.current, state=17), "not hold the entity that its path names"),
    "value of a newer release": (
        lambda ill: ill.set(ill.current, state="resting"),
        "a document has a value that this release does not know",
    ),
    # invariant 6: no plaintext, and no field that could hold one
    "secret in a new field": (
        lambda ill: ill.set(ill.current, secret=ill.secret),
        "a document has a field that its kind does not have",
    ),
    "new field within live": (
        lambda ill: _edit_live(ill, hint="x"),
        "a document has a field that its kind does not have",
    ),
    "new field in an answer": (
        lambda ill: ill.put("events/1", {"answer": {"client_id": "acme", "secret": "x"}, "expires_at": LATER}),
        "a document has a field that its kind does not have",
    ),
    "object in a field": (
        lambda ill: ill.set(ill.current, rotated_by={"user": "alice"}),
        "a document has an object where its kind has none",
    ),
    "field gone": (
        lambda ill: ill.edit(ill.open_rotation, lambda rotation: rotation.pop("recipients")),
        "a document lacks a field that its kind has",
    ),
    "secret in a known field": (
        lambda ill: ill.set(ill.last_rotation, reason=f"it is {ill.secret}."),
        "a document contains a version's secret in plaintext",
    ),
    # invariant 7: every transition has exactly one audit entry
    "entry changed": (lambda ill: ill.set(entry(2), actor="mallory"), "broken at entry 2: changed"),
    "entry removed": (lambda ill: ill.drop(entry(3)), "broken at entry 3: removed or reordered"),
    "chain cut": (lambda ill: ill.drop(_last_entry(ill)), "truncated, or the head was changed"),
    "entry in another place": (
        lambda ill: ill.move(entry(2), entry(999)),
        "an audit entry's path differs from its number",
    ),
    "chain forged": (
        lambda ill: _rechain(ill, lambda entries: entries[3].update(after={"status": "active"})),
        "does not continue the one before it",
    ),
    "chain forged at its end": (
        lambda ill: _rechain(ill, lambda entries: entries[-1].update(after={"status": "active"})),
        "ends in another state than the client's",
    ),
    "transition told twice": (
        lambda ill: _rechain(ill, lambda entries: entries.append({**entries[-1], "before": entries[-1]["after"]})),
        "a rotation's transitions and its audit entries disagree",
    ),
    "transition untold": (
        lambda ill: _rechain(ill, lambda entries: entries[3].update(action="approve")),
        "a rotation's transitions and its audit entries disagree",
    ),
    "entry about nothing": (
        lambda ill: _rechain(ill, lambda entries: entries[3]["ids"].update(rotation_id=OTHER_ID)),
        "an audit entry names a rotation that is missing",
    ),
    "change untold": (
        lambda ill: ill.edit(CLIENT, lambda c: c.update(updated_at=c["updated_at"] + timedelta(seconds=1))),
        "the client was changed without an audit entry",
    ),
    "revision too high": (lambda ill: ill.set(CLIENT, revision=10_000), "the revision is not the number of changes"),
    "revision gone back": (lambda ill: ill.set(CLIENT, revision=1), "the revision is not the number of changes"),
    "deployment's entry changed": (
        lambda ill: ill.set(_chain(ill, "_system")[0], actor="mallory"),
        "the audit chain is broken at entry 1",
    ),
    "group's entry changed": (
        lambda ill: ill.set(_chain(ill, OPS_CHAIN)[2], actor="mallory"),
        "the audit chain is broken at entry 3",
    ),
    "group's chain cut": (
        lambda ill: ill.drop(_chain(ill, OPS_CHAIN)[-1]),
        "truncated, or the head was changed",
    ),
    "group's chain without its head": (
        lambda ill: ill.drop(paths.audit_head(OPS_CHAIN)),
        "truncated, or the head was changed",
    ),
    "group's chain deleted": (lambda ill: _drop_chain(ill, OPS_CHAIN), "a group's audit chain is missing"),
    "group's chain begun again": (_begin_again, "a group's audit chain was opened more than once"),
    "deployment's chain deleted": (
        lambda ill: _drop_chain(ill, "_system"),
        "a member does not have exactly one audit entry of joining",
    ),
    "group removed with its documents": (
        lambda ill: _drop(ill, GROUP, ROSTER, paths.maintenance("ops")),
        "a named group is missing",
    ),
    # invariants 8 and 9: the groups
    "log with a gap": (lambda ill: ill.drop(message(4)), "the log has a gap"),
    "log cut": (lambda ill: ill.set(GROUP, next_index=3), "the group's next index is not the end of its log"),
    "message of another sender": (lambda ill: _forged(ill, message(3)), "not a message of the service"),
    "message for another group": (lambda ill: _for_another_group(ill, message(3)), "not a message of the service"),
    "message that is none": (lambda ill: ill.set(message(3), event="{}"), "not a message of the service"),
    "message of another kind": (lambda ill: ill.set(message(3), kind="notice"), "not a message of the service"),
    "ciphertext twice": (
        lambda ill: ill.set(message(6), **{name: ill.data(message(4))[name] for name in ("event", "kind")}),
        "a ciphertext is in the log twice",
    ),
    "log out of order": (
        lambda ill: _swap(ill, message(3), message(4)),
        "a message's epoch differs from the epoch that the log has reached",
    ),
    "commits that lead elsewhere": (
        lambda ill: ill.set(message(5), event="{}"),
        "the log's commits do not lead to the group's epoch",
    ),
    "state of another epoch": (lambda ill: ill.set(GROUP, epoch=1), "the group's sealed state does not open"),
    "state of another generation": (
        lambda ill: ill.set(GROUP, generation=1),
        "the group's sealed state does not open",
    ),
    "state damaged": (lambda ill: ill.set(GROUP, sealed=b"x"), "the group's sealed state does not open"),
    "leaf without a person": (
        lambda ill: ill.edit(ROSTER, lambda roster: roster["members"].pop()),
        "the group's leaves differ from the roster and the service",
    ),
    "person without a leaf": (
        lambda ill: ill.edit(ROSTER, lambda r: r["members"].append({**r["members"][0], "leaf": 9})),
        "the group's leaves differ from the roster and the service",
    ),
    "no roster": (lambda ill: ill.drop(ROSTER), "the group has no roster"),
    "group gone": (lambda ill: ill.drop(GROUP), "a named group is missing"),
    "key package gone": (lambda ill: ill.drop(_key_package(ill)), "a roster member has no key package"),
    "Welcome gone": (lambda ill: ill.drop(_welcome(ill)), "key packages and Welcomes do not pair up"),
    "key package of another key": (
        lambda ill: _forged(ill, _key_package(ill)),
        "a key package is not signed by its key",
    ),
    "Welcome of another sender": (lambda ill: _forged(ill, _welcome(ill)), "a Welcome is not signed by the service"),
    "notice not in the log": (
        lambda ill: ill.set(ill.last_rotation, distribution_message_id=f"{1:012d}"),
        NOT_SENT,
    ),
    "notice gone before its time": (
        lambda ill: ill.set(message(6), kind="gone", event=""),
        NOT_SENT,
    ),
    "identity gone": (lambda ill: ill.drop(paths.SERVICE), "groups exist without a service identity"),
    "identity of another": (
        lambda ill: ill.set(paths.SERVICE, npub="0" * 64),
        "the service's identity differs from its document",
    ),
    "identity damaged": (
        lambda ill: ill.set(paths.SERVICE, sealed=b"x"),
        "the service's identity does not unseal",
    ),
}


@pytest.mark.parametrize("planting", PLANTED)
def test_planted_breach_is_found_and_named(ill: Patient, planting: str) -> None:
    plant, expected = PLANTED[planting]
    plant(ill)
    found = [breach.sentence for breach in examine(ill).breaches]
    assert any(expected in sentence for sentence in found), found
    assert ill.secret not in repr(examine(ill))


def test_healthy_store_has_no_breach_and_all_of_it_was_seen(ill: Patient) -> None:
    examination = examine(ill)
    assert examination.breaches == ()
    assert examination.unstable == ()
    assert examination.counts["versions"] == examination.counts["rotations"] == 3
    assert examination.counts["messages"] == 2 + 3 * 2
    assert examination.counts["audit entries"] > 12
    assert (examination.counts["key packages"], examination.counts["welcomes"]) == (2, 2)


def test_a_group_from_before_groups_had_chains_is_healthy_and_gets_a_chain(ill: Patient) -> None:
    entries = [ill.data(path) for chain in ("_system", OPS_CHAIN) for path in _chain(ill, chain)]
    _drop_chain(ill, OPS_CHAIN)
    _drop_chain(ill, "_system")
    older = [content for content in entries if content["action"] != "open_chain"]
    ill.put(paths.audit_head("_system"), _write_chain(ill, "_system", older))
    assert examine(ill).breaches == ()
    ill.suite.operator.invites("erin", "ops")
    assert [ill.data(path)["action"] for path in _chain(ill, OPS_CHAIN)] == ["invite"]
    assert [ill.data(path)["action"] for path in _chain(ill, "_system")][len(older) :] == ["open_chain"]
    assert examine(ill).breaches == ()


def test_an_entry_in_another_group_s_chain_is_found(ill: Patient) -> None:
    entries = [ill.data(path) for path in _chain(ill, OPS_CHAIN)]
    entries[-1]["ids"] = {**entries[-1]["ids"], "group_id": "other"}
    ill.put(paths.audit_head(OPS_CHAIN), _write_chain(ill, OPS_CHAIN, entries))
    assert "an audit entry is in the chain of another group" in [item.sentence for item in examine(ill).breaches]


def test_a_client_that_was_written_before_it_told_its_last_rotation_is_healthy(ill: Patient) -> None:
    ill.edit(CLIENT, lambda client: client["live"].pop("last"))
    assert examine(ill).breaches == ()


def test_an_entry_with_token_terms_as_its_facts_is_forgiven(ill: Patient) -> None:
    def add_entry(entries: list[dict[str, Any]]) -> None:
        terms = {**entries[-1], "action": "set_token_terms", "before": {}, "after": {"scopes": ["read"]}}
        entries.append({**terms, "ids": {"client_id": "acme"}, "actor": audit.OPERATOR})

    _rechain(ill, add_entry)
    ill.set(CLIENT, revision=ill.client["revision"] + 1)
    assert not examine(ill).breaches


def test_breach_says_where_it_is(ill: Patient) -> None:
    ill.set(ill.current, secret_hash="AAAA")
    (found,) = (item for item in examine(ill).breaches if item.sentence == "a live version's hash is malformed")
    assert (found.subject, found.where) == ("client acme", ill.current)


def test_notice_may_be_gone_after_its_time(ill: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.use_cases.doctor.client_checks.NOTICE_RETENTION", timedelta(0))
    ill.set(message(4), kind="gone", event="")
    ill.drop(message(6))
    assert not [breach for breach in examine(ill).breaches if breach.subject == "client acme"]
    ill.drop(message(8))
    (found,) = (breach for breach in examine(ill).breaches if breach.subject == "client acme")
    assert (found.where, found.sentence) == (ill.open_rotation, NOT_SENT)


def test_run_checks_writes_nothing(ill: Patient) -> None:
    before = ill.store.get([CLIENT, GROUP, paths.SERVICE])
    ill.drop(paths.SERVICE)
    examine(ill)
    after = ill.store.get([CLIENT, GROUP, paths.SERVICE])
    assert not after[paths.SERVICE].exists
    assert [after[path].version for path in (CLIENT, GROUP)] == [before[path].version for path in (CLIENT, GROUP)]


def test_what_never_stands_still_is_said_and_no_breach(ill: Patient) -> None:
    from keyturn.adapters.mls.message_headers import read_head

    ill.set(GROUP, next_index=3)
    get = ill.store.get
    ill.store.get = _always_changing(ill, get)  # type: ignore[method-assign]  # a concurrent write between any two reads
    examination = examine(ill, read_head)
    assert examination.unstable == ("group ops",)
    assert examination.breaches == ()


def _always_changing(ill: Patient, get: Callable[..., Any]) -> Callable[..., Any]:
    from keyturn.ports.store import Replace

    def after_a_change(wanted: Any) -> Any:  # noqa: ANN401 - the store's own signature
        snapshot = get(wanted)
        if GROUP in snapshot.documents and (document := snapshot[GROUP]).exists:
            ill.store.commit([Replace(GROUP, document.data, document.version)])
        return snapshot

    return after_a_change
