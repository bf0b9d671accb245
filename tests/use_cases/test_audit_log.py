"""Audit chains of groups and of the deployment: which act goes where, and which acts race for one head."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.core.signed_events import key_package_event
from keyturn.domain.audit_chain import Transition, group_chain
from keyturn.ports.store import LostRace
from keyturn.use_cases.audit_log import audit_heads, audit_writes
from keyturn.use_cases.groups.membership import open_membership

from tests.docs.pages import codes, read, rows, section
from tests.functions.attested import Person, admitted, body, invite
from tests.functions.scene import key_package
from tests.memory_store import MemoryStore
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.ports.store import Snapshot, Store, Write

    from tests.world import World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GROUPS = ("first-group", "second-group", "third-group", "fourth-group")


# --- chains ----------------------------------------------------------------------------------------------------------


def append(store: Store, *transitions: Transition, group_id: str = "") -> list[str]:
    """Append entries in one commit, and return the paths that it wrote."""
    snapshot = store.get(audit_heads(group_id))
    writes = audit_writes(snapshot, transitions, snapshot.read_time, "")
    store.commit(writes)
    return [write.path for write in writes]


def test_an_entry_goes_to_its_groups_chain_which_the_first_one_opens() -> None:
    store = MemoryStore(lambda: NOW)
    join = Transition("join", "alice", {"group_id": "ops"})
    first = append(store, join, join, group_id="ops")
    assert sorted(first) == sorted([
        *[f"audit_heads/_system{entry}" for entry in ("", "/audit/000000000001")],
        *[f"audit_heads/_group:ops{entry}" for entry in ("", "/audit/000000000001", "/audit/000000000002")],
    ])  # fmt: skip
    opening = store.get(["audit_heads/_system/audit/000000000001"])["audit_heads/_system/audit/000000000001"].fields
    assert (opening["action"], opening["actor"], opening["ids"]) == ("open_chain", "alice", {"group_id": "ops"})
    assert append(store, join, group_id="ops") == [
        "audit_heads/_group:ops",
        "audit_heads/_group:ops/audit/000000000003",
    ]
    assert append(store, Transition("stop", "operator", {})) == [
        "audit_heads/_system",
        "audit_heads/_system/audit/000000000002",
    ]


def test_two_acts_that_open_one_chain_race_and_one_loses() -> None:
    store = MemoryStore(lambda: NOW)
    join = Transition("join", "alice", {"group_id": "ops"})
    snapshot = store.get(audit_heads("ops"))
    append(store, join, group_id="ops")
    with pytest.raises(LostRace):
        store.commit(audit_writes(snapshot, [join], snapshot.read_time, ""))


# --- which act goes where (docs/protocol.md §9) ----------------------------------------------------------------------


def described() -> set[tuple[str, str]]:
    """Return the chain and the action of each act in the table of docs/protocol.md §9."""
    table = [row for row in rows(section(read("protocol.md"), 9)) if row[0].startswith("`_")]
    return {(codes(row[0])[0], action) for row in table for action in codes(row[1])}


def written(world: World) -> Iterator[tuple[str, str]]:
    for path in world.documents():
        parts = path.split("/")
        if parts[0] == "audit_heads" and "audit" in parts:
            chain = "_group:{group}" if parts[1] == group_chain(GROUP) else parts[1]
            yield chain, world.document(path)["action"]


def operate(world: World, path: str, **fields: object) -> dict[str, Any]:
    answer = world.operator(path, fields)
    assert answer.status_code == 200, (path, answer.text)
    return body(answer)


def with_totp_and_phone(world: World, alice: Person, bob: Person) -> Person:
    """Register a second phone and a new authenticator of alice, and return the phone."""
    phone = alice.with_new_phone()
    made = invite(world, "alice", purpose="device")
    assert bob.approve(made["invite"], "alice", "device").status_code == 200
    assert phone.register(made["code"]).status_code == 200
    assert phone.confirm(made["code"], phone.fresh_code()).status_code == 200
    assert phone.join(made["code"]).status_code == 200
    made = invite(world, "alice", purpose="totp")
    assert bob.approve(made["invite"], "alice", "totp").status_code == 200
    assert alice.register(made["code"]).status_code == 200
    assert alice.confirm(made["code"]).status_code == 200
    return phone


@pytest.mark.world(attested=True)
def test_every_act_goes_to_the_chain_that_the_protocol_names(world: World) -> None:
    alice = admitted(world, "alice")
    bob = admitted(world, "bob", alice)
    phone = with_totp_and_phone(world, alice, bob)
    membership = open_membership(world.control, world.suite.groups, GROUP)
    membership.note_key_update(alice.npub)
    membership.commit(world.control, "")
    world.suite.operator.suspension.revoke("alice", [phone.npub])
    operate(world, "/admins/bob/suspend")
    awaited = operate(world, "/admins/bob/resume")["awaits_approval"]
    assert alice.approve(awaited, "bob", "resume").status_code == 200
    operate(world, "/admins/bob/resume")
    assert bob.come_back().status_code == 200
    operate(world, f"/groups/{GROUP}/remove", user="alice")
    world.clock.advance(days=100)
    world.sweep()  # bob's device was silent
    operate(world, "/admins/bob/remove")
    operate(world, "/denied", add={"clients": [CLIENT]}, reason="test")
    operate(world, "/denied", remove={"clients": [CLIENT]}, reason="test")
    operate(world, "/stop", reason="test")
    operate(world, "/start", reason="test")
    world.suite.freeze.freeze("copied")
    world.suite.freeze.thaw()
    # Only a member with a changed program can cause that: tests/scenarios/test_groups.py has one.
    assert set(written(world)) | {("_group:{group}", "refuse_commit")} == described()


# --- races -----------------------------------------------------------------------------------------------------------


@dataclass
class Interleaved:
    """A store that runs the next waiting act just before each first commit, and counts commits."""

    inner: Store
    waiting: list[Callable[[], object]] = field(default_factory=list)
    attempted: int = 0
    lost: int = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a store has
        return getattr(self.inner, name)

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        if self.waiting:
            self.waiting.pop(0)()
        self.attempted += 1
        try:
            return self.inner.commit(writes, basis=basis)
        except LostRace:
            self.lost += 1
            raise


def interleave(world: World, acts: Sequence[Callable[[], object]]) -> tuple[int, int]:
    """Begin each act after the one before has read and before it commits. Return the commits attempted and lost."""
    store = Interleaved(world.control.inner, list(acts[1:]))
    world.control.inner = store
    acts[0]()
    world.control.inner = store.inner
    assert not store.waiting
    return store.attempted, store.lost


def come_back(world: World, user: str, group: str) -> Callable[[], object]:
    signer = world.admins[user].signer
    event = key_package_event(signer, key_package(signer.public_key, world.clock.now))
    sent = json.dumps({"group": group, "event": event.to_dict()}).encode()
    return lambda: world.call("POST", "/enrol/", sent)


def add_invite(world: World, user: str, group: str) -> Callable[[], object]:
    return lambda: world.operator("/invites", {"user": user, "group_id": group})


def remove(world: World, user: str, group: str) -> Callable[[], object]:
    return lambda: world.operator(f"/groups/{group}/remove", {"user": user})


@pytest.fixture
def groups(world: World) -> World:
    """Found four groups with one device each, and a fifth person in the first group."""
    world.found()
    for number, group in enumerate(GROUPS):
        operate(world, "/groups", group_id=group)
        world.join(f"user{number}", group)
    world.join("another", GROUPS[0])
    return world


ACTS = [come_back, add_invite, remove]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("other", ACTS)
def test_acts_in_different_groups_lose_no_commit(groups: World, act: Any, other: Any) -> None:  # noqa: ANN401 - of ACTS
    kinds = [act, other, act, other]
    acts = [kind(groups, f"user{number}", GROUPS[number]) for number, kind in enumerate(kinds)]
    assert interleave(groups, acts) == (4, 0)


def test_devices_that_return_to_one_group_race_for_its_state_only(groups: World) -> None:
    acts = [come_back(groups, user, GROUPS[0]) for user in ("user0", "another")]
    assert interleave(groups, acts) == (3, 1)
