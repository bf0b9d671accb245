"""Suspended, resumed and removed admins: what stops at once, what resumes, and whose approval that needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.records.schema import kind_of

from tests.functions.attested import Person, admins, admitted, body, invite, refusal
from tests.use_cases.faults import Died, Wire
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from tests.world import World

pytestmark = pytest.mark.world(attested=True)


@pytest.fixture
def alice(world: World) -> Person:
    return admitted(world, "alice")


@pytest.fixture
def bob(world: World, alice: Person) -> Person:
    return admitted(world, "bob", alice)


def members(world: World, group: str = GROUP) -> list[str]:
    return [member["user"] for member in world.document(f"mls_groups/{group}/roster/members")["members"]]


def stop(world: World, user: str, how: str = "suspend") -> dict[str, Any]:
    answer = world.operator(f"/admins/{user}/{how}", {})
    assert answer.status_code == 200, answer.text
    return body(answer)


def audited(world: World, *actions: str) -> list[str]:
    return [entry["action"] for entry in world.audited() if entry["action"] in actions]


def rotation(world: World, person: Person) -> str:
    """Have a rotation requested and its notice sent; its id."""
    event = person.action("rotation", {"rotation_reason": "routine", "grace_duration_ms": 0}, CLIENT)
    answer = world.send(event)
    assert answer.status_code == 200, answer.text
    world.pump()
    return str(body(answer)["rotation_id"])


def test_a_suspended_admin_gets_no_proof_and_has_no_leaf(world: World, bob: Person) -> None:
    ready = bob.action("suspend", {}, CLIENT)  # with a proof from before
    told = stop(world, "bob")
    assert (told["status"], told["devices"]) == ("suspended", [bob.npub])
    assert members(world) == ["alice"]
    assert refusal(world.send(ready)) == (403, "not_authorised")
    assert refusal(bob.prove("A" * 43)) == (401, "proof_refused")
    assert refusal(bob.come_back()) == (403, "not_active")
    assert refusal(world.operator("/invites", {"user": "bob", "group_id": GROUP})) == (409, "suspended")
    assert admins(world) == {"alice": "active", "bob": "suspended"}


@pytest.mark.usefixtures("bob")
def test_rotations_sent_to_a_suspended_admin_are_canceled(world: World, alice: Person) -> None:
    rotation_id = rotation(world, alice)
    assert stop(world, "bob")["canceled"] == [rotation_id]
    assert audited(world, "suspend_admin") == ["suspend_admin", "suspend_admin"]  # the person, and their leaf
    assert stop(world, "bob")["canceled"] == []


def test_leaves_go_from_every_group(world: World, alice: Person, bob: Person) -> None:
    assert world.operator("/groups", {"group_id": "others"}).status_code == 200
    made = invite(world, "bob", group_id="others")
    assert alice.approve(made["invite"], "bob").status_code == 200
    assert bob.join(made["code"]).status_code == 200
    assert stop(world, "bob")["devices"] == [bob.npub]
    assert members(world) == ["alice"]
    assert members(world, "others") == []
    assert refusal(bob.come_back("others")) == (403, "not_active")


def test_a_suspended_admin_comes_back_when_another_approves(world: World, alice: Person, bob: Person) -> None:
    stop(world, "bob")
    awaited = body(world.operator("/admins/bob/resume", {}))
    assert awaited["status"] == "suspended"
    assert body(world.operator("/admins/bob/resume", {})) == awaited
    assert refusal(alice.approve(awaited["awaits_approval"], "bob", "join")) == (409, "invite_differs")
    assert alice.approve(awaited["awaits_approval"], "bob", "resume").status_code == 200
    assert body(world.operator("/admins/bob/resume", {})) == {
        "user": "bob",
        "status": "active",
        "awaits_approval": None,
    }
    assert bob.come_back().status_code == 200
    assert members(world) == ["alice", "bob"]
    assert world.send(bob.action("suspend", {}, CLIENT)).status_code == 200
    assert audited(world, "resume_admin") == ["resume_admin"]


def test_an_approval_is_for_one_suspension(world: World, alice: Person, bob: Person) -> None:
    stop(world, "bob")
    first = body(world.operator("/admins/bob/resume", {}))["awaits_approval"]
    alice.approve(first, "bob", "resume")
    world.operator("/admins/bob/resume", {})
    bob.come_back()
    stop(world, "bob")
    second = body(world.operator("/admins/bob/resume", {}))["awaits_approval"]
    assert second not in {None, first}


def test_the_last_admin_comes_back_without_anybody(world: World, alice: Person) -> None:
    stop(world, "alice")
    assert body(world.operator("/admins/alice/resume", {}))["awaits_approval"] is None
    assert alice.come_back().status_code == 200


@pytest.mark.usefixtures("alice", "bob")
def test_where_all_are_suspended_one_comes_back_without_anybody_and_the_next_with_that_one(world: World) -> None:
    stop(world, "bob")
    assert body(world.operator("/admins/bob/resume", {}))["awaits_approval"] is not None
    stop(world, "alice")
    assert body(world.operator("/admins/bob/resume", {}))["awaits_approval"] is None
    assert body(world.operator("/admins/alice/resume", {}))["awaits_approval"] is not None


def test_no_code_leads_to_a_resumption(world: World, alice: Person, bob: Person) -> None:
    stop(world, "bob")
    body(world.operator("/admins/bob/resume", {}))
    version = world.auth.inner.get(["admins/bob"])["admins/bob"].version
    parts = [part.encode() for part in ("keyturn/resume/v1", "bob", str(version))]
    code = b"".join(len(part).to_bytes(4, "big") + part for part in parts).decode()
    assert refusal(bob.register(code)) == (403, "bad_invite")
    assert refusal(alice.register(code)) == (403, "bad_invite")


def test_a_removed_admin_returns_only_with_a_new_invite(world: World, alice: Person, bob: Person) -> None:
    assert stop(world, "bob", "remove")["devices"] == [bob.npub]
    assert refusal(world.operator("/admins/bob/resume", {})) == (409, "removed")
    assert refusal(world.operator("/admins/bob/suspend", {})) == (409, "removed")
    assert refusal(bob.come_back()) == (403, "not_in_group")
    assert refusal(bob.prove("A" * 43)) == (401, "proof_refused")
    again = admitted(world, "bob", alice)
    assert again.npub != bob.npub
    assert members(world) == ["alice", "bob"]
    assert refusal(replace(bob, secret=again.secret).prove("A" * 43)) == (401, "proof_refused")


def test_a_suspended_admin_may_be_removed(world: World, bob: Person) -> None:
    stop(world, "bob")
    assert stop(world, "bob", "remove")["devices"] == [bob.npub]
    assert stop(world, "bob", "remove")["devices"] == []
    assert admins(world)["bob"] == "removed"


def test_an_unknown_admin_cannot_be_stopped_or_resumed(world: World) -> None:
    for how in ("suspend", "remove", "resume"):
        assert refusal(world.operator(f"/admins/nobody/{how}", {})) == (404, "unknown_admin")


def test_a_leaf_that_is_being_given_is_refused_if_its_admin_is_stopped_meanwhile(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    alice.approve(made["invite"], "bob")
    bob = Person(world, "bob")
    bob.register(made["code"])
    bob.confirm(made["code"])
    stop_at_the_commit = _Between(world.control, lambda: stop(world, "bob"))
    suite = world.new_suite(control=stop_at_the_commit)
    with pytest.raises(Exception, match="not active"):
        suite.enrolment.join(made["code"], bob.offer().to_dict())
    assert members(world) == ["alice"]


class _Between:
    """A store that runs a function before its first commit."""

    def __init__(self, inner: Any, happens: Any) -> None:  # noqa: ANN401 - a store, and what happens
        self._inner = inner
        self._happens = [happens]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a store has
        return getattr(self._inner, name)

    def commit(self, writes: Any, **given: Any) -> Any:  # noqa: ANN401 - as a store's
        while self._happens:
            self._happens.pop()()
        return self._inner.commit(writes, **given)


@pytest.mark.parametrize("how", ["suspend", "remove"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("database", "at"), [("auth", 1), ("control", 1), ("control", 3)])
def test_cut_short_at_a_commit_the_same_again_ends_in_the_same_place(
    world: World,
    bob: Person,
    how: str,
    database: str,
    at: int,
    after: bool,  # noqa: FBT001 - a case
) -> None:
    calls = Wire()
    suite = world.new_suite(**{database: calls.port(getattr(world, database))})
    assert suite.groups.npub  # the service's identity is read once, before
    calls.calls.clear()
    calls.at, calls.after = at, after
    with pytest.raises(Died):
        getattr(suite.operator.suspension, how)("bob")
    stop(world, "bob", how)
    assert refusal(bob.prove("A" * 43)) == (401, "proof_refused")
    assert members(world) == ["alice"]
    assert audited(world, f"{how}_admin") == [f"{how}_admin"] * 2


def test_every_document_of_an_attested_deployment_is_of_a_kind_and_of_its_shape(
    world: World, alice: Person, bob: Person
) -> None:
    made = invite(world, "bob", purpose="totp")
    alice.approve(made["invite"], "bob", "totp")
    bob.register(made["code"])
    stop(world, "bob")
    world.operator("/admins/bob/resume", {})
    assert refusal(bob.prove("A" * 43)) == (401, "proof_refused")
    for store in (world.control, world.auth, world.usage):
        for path, (_, data) in world.documents(store).items():
            kind: Any = kind_of(path)
            assert kind is not None, path
            assert list(kind.shape.problems(data)) == [], path


def test_an_invite_from_before_a_removal_is_void(world: World, alice: Person, bob: Person) -> None:
    untouched, begun = invite(world, "bob"), invite(world, "bob")
    for made in (untouched, begun):
        assert alice.approve(made["invite"], "bob").status_code == 200
    stop(world, "bob", "remove")
    again = invite(world, "bob")  # this one is made knowing of the removal
    phone = bob.with_new_phone()
    assert refusal(phone.register(untouched["code"])) == (403, "bad_invite")
    assert refusal(phone.register(begun["code"])) == (403, "bad_invite")
    assert admins(world)["bob"] == "removed"
    alice.approve(again["invite"], "bob")
    phone.enrol(again["code"])
    stop(world, "bob", "remove")
    assert refusal(phone.register(untouched["code"])) == (403, "bad_invite")


def test_an_invite_undoes_only_one_removal(world: World, alice: Person, bob: Person) -> None:
    stop(world, "bob", "remove")
    first, second = invite(world, "bob"), invite(world, "bob")
    for made in (first, second):
        assert alice.approve(made["invite"], "bob").status_code == 200
    phone = bob.with_new_phone().enrol(first["code"])
    stop(world, "bob", "remove")
    assert refusal(phone.with_new_phone().register(second["code"])) == (403, "bad_invite")
    assert admins(world)["bob"] == "removed"
