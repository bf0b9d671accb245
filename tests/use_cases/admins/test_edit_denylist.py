"""Denylists and the stop: refusals in each function, permitted actions, and acts that die between two databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.device.core.errors import ServerRefusedError
from keyturn.domain.errors import Unavailable
from keyturn.entry.http.views import plain
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths
from keyturn.records.denylist import ALLOWED_WHILE_STOPPED, Denylists
from keyturn.use_cases.admins.edit_denylist import MOST_CHANGED_AT_ONCE, MOST_DENIED

from tests.use_cases.faults import Died, Wire
from tests.world import CLIENT, EACH_STORE, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    from keyturn.ports.store import Document, Query, Snapshot, Write
    from keyturn.proofs.nostr import Event
    from keyturn.use_cases.admins.edit_denylist import EditDenylists
    from werkzeug.test import TestResponse

    from tests.world import Admin, WatchedStore, World

NOTHING = {"users": [], "npubs": [], "clients": [], "settings": [], "everywhere": True}
RUNNING = {"stopped": False, "since": None, "reason": None, "everywhere": True}


def outcome(answer: TestResponse) -> tuple[int, str]:
    body: Any = answer.json
    return answer.status_code, str(body.get("reason", ""))


def denied(world: World, **change: object) -> dict[str, Any]:
    answer = world.operator("/denied", change)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json)


def chain(world: World) -> list[tuple[str, dict[str, str], str]]:
    """Return what stands in the system's chain about denying and stopping: action, ids, reason."""
    entries = world.audited("_system")
    told = {"deny", "allow", "stop", "start"}
    return [(item["action"], dict(item["ids"]), item["reason"]) for item in entries if item["action"] in told]


def copies(world: World, path: str) -> tuple[object, ...]:
    """Return what auth and control hold there."""
    return tuple(plain(store.inner.get([path])[path].data) for store in (world.auth, world.control))


# --- denylists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["users", "npubs", "clients"])
def test_a_denied_caller_is_refused_until_allowed_again(world: World, kind: str) -> None:
    world.found("alice", "bob")
    name = {"users": "alice", "npubs": world.admins["alice"].signer.public_key, "clients": CLIENT}[kind]
    assert denied(world, add={kind: [name]}, reason="seen where they were not")[kind] == [name]
    assert outcome(world.send(world.admins["alice"].rotation())) == (403, "denied")
    bobs = outcome(world.send(world.admins["bob"].action("resume")))
    assert bobs == ((403, "denied") if kind == "clients" else (409, "not_suspended"))
    assert denied(world, remove={kind: [name]}) == NOTHING
    assert outcome(world.send(world.admins["alice"].rotation())) == (200, "")
    called = {"users": "user", "npubs": "npub", "clients": "client_id"}[kind]
    assert chain(world) == [("deny", {called: name}, "seen where they were not"), ("allow", {called: name}, "")]


def test_a_denied_person_and_a_denied_key_do_not_join(world: World) -> None:
    world.found("alice")
    denied(world, add={"users": ["bob"]})
    mallory = world.new_admin("mallory")
    denied(world, add={"npubs": [mallory.signer.public_key]})
    for admin, user in ((world.new_admin("bob"), "bob"), (mallory, "mallory")):
        assert not_joined(admin, world.invite(user)) == (403, "denied")
    assert {member["user"] for member in members(world)} == {"alice"}


def not_joined(admin: Admin, code: str) -> tuple[int, str]:
    with pytest.raises(ServerRefusedError) as caught:
        admin.device.join(code)
    return caught.value.status, caught.value.reason


def members(world: World) -> list[dict[str, str]]:
    return cast("list[dict[str, str]]", world.document(f"mls_groups/{GROUP}/roster/members")["members"])


def test_settings_deny_besides_and_are_shown(world: World) -> None:
    world.found("alice")
    world.denied = frozenset({"alice"})
    world.serve(world.policy)
    assert world.operator("/denied").json == {**NOTHING, "settings": ["alice"]}
    assert outcome(world.send(world.admins["alice"].rotation())) == (403, "denied")


def test_the_same_again_changes_nothing_and_is_no_entry(world: World) -> None:
    for _ in range(2):
        assert denied(world, add={"users": ["b", "a"], "clients": ["c"]}, remove={"users": ["x"]})["users"] == [
            "a",
            "b",
        ]
    assert [action for action, _, _ in chain(world)] == ["deny"] * 3
    for _ in range(2):
        assert denied(world, remove={"users": ["a", "b"], "clients": ["c"]}) == NOTHING
    assert [action for action, _, _ in chain(world)][3:] == ["allow"] * 3
    assert copies(world, paths.DENIED) == (None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"add": {"users": "alice"}}, "bad_field"),
        ({"add": {"users": [1]}}, "bad_field"),
        ({"add": []}, "bad_field"),
        ({"add": {"users": ["no id"]}}, "bad_identifier"),
        ({"add": {"clients": ["_system"]}}, "bad_identifier"),
        ({"add": {"npubs": ["AB" * 32]}}, "bad_npub"),
        ({"remove": {"npubs": ["npub1"]}}, "bad_npub"),
    ],
)
def test_what_is_no_name_is_refused(world: World, change: dict[str, object], reason: str) -> None:
    assert outcome(world.operator("/denied", change)) == (400, reason)
    assert copies(world, paths.DENIED) == (None, None)


def test_the_lists_are_bounded_and_can_be_made_shorter(world: World) -> None:
    denied(world, add={"users": [f"u{number}" for number in range(MOST_DENIED)]})
    assert outcome(world.operator("/denied", {"add": {"users": ["one-more"]}})) == (422, "too_many_denied")
    assert len(denied(world, add={"users": ["one-more"]}, remove={"users": ["u0"]})["users"]) == MOST_DENIED


def test_a_change_larger_than_a_commit_is_written_in_parts_with_an_audit_entry_for_each_item(world: World) -> None:
    """1000 items at once needed 1002 writes, more than Firestore takes: the answer was 500 and nothing was denied."""
    users = [f"u{number}" for number in range(MOST_CHANGED_AT_ONCE + 1)]
    lists = denied(world, add={"users": users, "clients": ["acme"]})
    assert (lists["users"], lists["npubs"], lists["clients"]) == (sorted(users), [], ["acme"])
    assert denied(world, remove={"users": users})["users"] == []
    entries = [data for path, (_, data) in world.documents().items() if path.startswith("audit_heads/_system/audit/")]
    assert len(entries) >= 2 * len(users) + 1


# --- two databases ----------------------------------------------------------------------------------------------------


class Dies:
    """A store whose commits fail, before anything is written."""

    def __init__(self, store: WatchedStore) -> None:
        self._inner = store.inner

    def get(self, paths: Iterable[str]) -> Snapshot:
        return self._inner.get(paths)

    def query(self, query: Query) -> Sequence[Document]:
        return self._inner.query(query)

    @property
    def longest_commit(self) -> timedelta:
        return self._inner.longest_commit

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:  # noqa: ARG002 - nothing is written
        raise StoreUnavailable("died")


def test_an_act_that_dies_half_way_allows_nothing_and_the_same_act_again_completes_it(world: World) -> None:
    alice, none = Denylists(users=("alice",)), Denylists()
    stored = {"users": ["alice"], "npubs": [], "clients": []}
    dying = world.new_suite(control=Dies(world.control)).operator.denylist
    with pytest.raises(StoreUnavailable):
        dying.change(alice, none, "")
    assert copies(world, paths.DENIED) == (stored, None)  # no proof any more, and no entry yet
    assert (world.operator("/denied").json or {})["everywhere"] is False
    world.suite.operator.denylist.change(alice, none, "")
    assert copies(world, paths.DENIED) == (stored, stored)
    with pytest.raises(StoreUnavailable):
        dying.change(none, alice, "")
    assert copies(world, paths.DENIED) == (None, stored)  # no command yet
    assert (world.operator("/stop").json or {})["everywhere"] is False
    world.suite.operator.denylist.change(none, alice, "")
    assert copies(world, paths.DENIED) == (None, None)
    assert [action for action, _, _ in chain(world)] == ["deny", "allow"]


def test_an_act_that_dies_first_leaves_all_as_it_was(world: World) -> None:
    dying = world.new_suite(auth=Dies(world.auth)).operator.denylist
    with pytest.raises(StoreUnavailable):
        dying.stop("a test")
    assert copies(world, paths.STOPPED) == (None, None)
    assert chain(world) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_an_act_that_dies_at_any_call_and_is_repeated_is_done_once(world: World, at: int, after: bool) -> None:  # noqa: FBT001 - a test's parameter
    acts: list[Callable[[EditDenylists], object]] = [
        lambda deny: deny.change(Denylists(clients=(CLIENT,)), Denylists(), "x"),
        lambda deny: deny.stop("x"),
        lambda deny: deny.change(Denylists(), Denylists(clients=(CLIENT,)), "x"),
        lambda deny: deny.start("x"),
    ]
    for act in acts:
        wire = Wire(at, after)
        dying = world.new_suite(auth=wire.port(world.auth), control=wire.port(world.control)).operator.denylist
        with pytest.raises(Died):
            act(dying)
        act(world.suite.operator.denylist)
        assert world.suite.operator.denylist.databases_agree() is True
    assert [action for action, _, _ in chain(world)] == ["deny", "stop", "allow", "start"]


class Interleaved(Dies):
    """A control database that lets another operator's act run between the two writes of an act."""

    def __init__(self, inner: WatchedStore, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._acts = [act]

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        if self._acts:
            self._acts.pop()()
        return self._inner.commit(writes, basis=basis)


def test_two_acts_that_interleave_leave_both_databases_the_same(world: World) -> None:
    start = world.suite.operator.denylist.start
    interleaved = Interleaved(world.control, lambda: start("meanwhile"))
    world.new_suite(control=interleaved).operator.denylist.stop("slow")
    assert world.suite.operator.denylist.databases_agree() is True
    stop = world.suite.operator.denylist.current_stop()
    assert stop is not None
    assert stop.reason == "slow"


@EACH_STORE
def test_operators_at_once_lose_nothing_of_each_others_and_both_databases_agree(world: World) -> None:
    operators = 6
    world.suite.operator.denylist.change(
        Denylists(users=tuple(f"old-{number}" for number in range(operators))), Denylists(), ""
    )

    def act(number: int) -> None:
        deny = world.new_suite().operator.denylist
        deny.change(Denylists(users=(f"new-{number}",)), Denylists(users=(f"old-{number}",)), "")
        if number % 2:
            deny.stop("at once")
        else:
            deny.start("at once")

    with ThreadPoolExecutor(operators) as pool:
        list(pool.map(act, range(operators)))
    assert world.suite.operator.denylist.denylists().users == tuple(f"new-{number}" for number in range(operators))
    assert world.suite.operator.denylist.databases_agree() is True
    acts = [action for action, _, _ in chain(world)]
    assert (acts.count("deny"), acts.count("allow")) == (2 * operators, operators)
    # Each start ends a stop, and each stop follows a start.
    turns = [action for action in acts if action in {"stop", "start"}]
    assert turns == [("stop", "start")[turn % 2] for turn in range(len(turns))]


# --- the stop ---------------------------------------------------------------------------------------------------------


def stopped(world: World, reason: str = "something leaked") -> dict[str, Any]:
    answer = world.operator("/stop", {"reason": reason})
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json)


def started(world: World) -> None:
    answer = world.operator("/start", {"reason": "all is well"})
    assert (answer.status_code, answer.json) == (200, RUNNING)


def test_a_stop_is_shown_stays_as_it_is_and_ends(world: World) -> None:
    first = stopped(world)
    assert first == {"stopped": True, "since": world.milliseconds(), "reason": "something leaked", "everywhere": True}
    world.clock.advance(minutes=5)
    assert stopped(world, "another reason") == first
    assert world.operator("/stop").json == first
    started(world)
    started(world)
    assert world.operator("/stop").json == RUNNING
    assert chain(world) == [("stop", {}, "something leaked"), ("start", {}, "all is well")]
    assert copies(world, paths.STOPPED) == (None, None)


def refused_as_stopped(answer: TestResponse) -> bool:
    return outcome(answer) == (503, "stopped") and answer.headers["Retry-After"] == "60"


ACTIONS = ("rotation", "emergency", "cancel", "rollback", "restore", "retire", "revoke", "suspend", "resume")


@pytest.mark.parametrize("action", ACTIONS)
def test_while_all_is_stopped_only_what_takes_away_is_taken(world: World, action: str) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    stopped(world)
    event = world.admins["alice"].action(action, params_of(world, action))
    answer = world.send(event)
    assert refused_as_stopped(answer) is (action not in ALLOWED_WHILE_STOPPED)
    started(world)
    assert not refused_as_stopped(world.send(event))


def params_of(world: World, action: str) -> dict[str, object]:
    current = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    return {
        "cancel": {"rotation_id": world.new_id()},
        "retire": {"version_id": current},
        "revoke": {"version_id": current, "force": True},
        "rotation": {"rotation_reason": "because"},
    }.get(action, {})


def test_the_stop_holds_inside_mls_too(world: World) -> None:
    world.found("alice", "bob")
    world.issue("alice", "bob")
    device = world.admins["alice"].device
    stopped(world)
    with pytest.raises(ServerRefusedError) as caught:
        device.rotate(CLIENT, "inside")
    assert (caught.value.status, caught.value.reason) == (503, "stopped")
    assert device.command("suspend", CLIENT, {}, "inside")["status"] == "suspended"
    started(world)
    assert device.command("resume", CLIENT, {}, "inside")["status"] == "active"
    assert device.rotate(CLIENT, "inside")["client_id"] == CLIENT


def test_revoking_works_while_all_is_stopped_and_verifying_goes_on(world: World) -> None:
    world.found("alice", "bob")
    first = world.issue("alice", "bob")
    second = world.issue("alice", "bob")
    stopped(world)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [True, True]
    current = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    assert world.send(world.admins["alice"].action("revoke", {"version_id": current})).status_code == 200
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [True, False]


def test_acks_wait_and_no_secret_goes_out_until_the_start(world: World) -> None:
    world.found("alice", "bob")
    opened = world.send(world.admins["alice"].rotation())
    rotation_id = str((opened.json or {})["rotation_id"])
    (written,) = world.queue
    assert world.deliver(written).status_code == 200
    message = world.queue[-1]
    stopped(world)
    assert refused_as_stopped(world.deliver(message))
    assert world.document(f"oauth2_rotations/{rotation_id}")["phase"] == "requested"
    started(world)
    assert (world.deliver(message).json or {})["sent"] is True
    ack = world.admins["bob"].ack(rotation_id)
    stopped(world)
    assert refused_as_stopped(world.send(ack))
    started(world)
    assert world.send(ack).status_code == 200


def test_no_secret_goes_out_that_was_decided_before_the_stop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.found("alice", "bob")
    rotation_id = str((world.send(world.admins["alice"].rotation()).json or {})["rotation_id"])
    clients = world.suite.clients
    commit = type(clients).commit_together

    def late(self: object, decided: Any, also: Any = ()) -> None:  # noqa: ANN401 - as the original
        if world.suite.operator.denylist.current_stop() is None:
            world.suite.operator.denylist.stop("just now")
        commit(self, decided, also)  # type: ignore[arg-type]  # the very object

    monkeypatch.setattr(type(clients), "commit_together", late)
    with pytest.raises(Unavailable) as caught:
        world.suite.distribution.distribute(CLIENT, rotation_id)
    assert caught.value.reason == "stopped"
    assert world.document(f"oauth2_rotations/{rotation_id}")["phase"] == "requested"


def test_while_stopped_no_device_is_enrolled_and_due_transitions_happen(world: World) -> None:
    world.found("alice", "bob")
    rotation_id = str((world.send(world.admins["alice"].rotation()).json or {})["rotation_id"])
    code = world.invite("carol")
    stopped(world)
    assert not_joined(world.new_admin("carol"), code) == (503, "stopped")
    world.clock.advance(minutes=31)
    assert world.sweep()["settled"] == 1
    assert world.document(f"oauth2_rotations/{rotation_id}")["outcome"] == "expired"


def test_an_answer_that_was_given_is_given_again_while_all_is_stopped(world: World) -> None:
    world.found("alice", "bob")
    event: Event = world.admins["alice"].rotation()
    first = world.send(event)
    stopped(world)
    assert world.send(event).text == first.text
