"""Commands through the real function: answers, repeated answers, and races between two commands."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.use_cases.commands.clients_and_answers import act, answer_of, reason_of, state_of, states
from tests.world import CLIENT, EACH_STORE, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.proofs.nostr import Event

    from tests.world import World

HOUR_MS = 3_600_000


# --- the whole way ---------------------------------------------------------------------------------------------------


@EACH_STORE
def test_a_rotation_from_request_to_retired(rotated: World) -> None:
    assert states(rotated) == ("grace", "current")

    rotated.clock.advance(minutes=58, seconds=59)
    assert states(rotated) == ("grace", "current")
    rotated.clock.advance(seconds=1)
    assert states(rotated) == (None, "current")


def test_the_answers_of_a_request_and_of_each_ack(world: World) -> None:
    world.found("alice", "bob", "carol", policy={"quorum": 2})
    alice = world.admins["alice"]
    start = world.milliseconds(hours=2)

    asked = answer_of(world, alice.rotation(not_before=start, grace_milliseconds=HOUR_MS))
    world.pump()
    rotation_id = asked["rotation_id"]
    acks = [answer_of(world, world.admins[user].ack(rotation_id)) for user in ("alice", "bob", "carol")]

    assert (asked["not_before"], asked["grace_until"], asked["quorum"]) == (start, start + HOUR_MS, 2)
    assert [ack["acks"] for ack in acks] == [0, 1, 2]  # with a quorum of two the requester's own does not count
    assert [ack["phase"] for ack in acks] == ["distributed", "distributed", "acknowledged"]
    assert {ack["version_id"] for ack in acks} == {asked["version_id"]}
    assert acks[-1]["outcome"] is None
    secret = alice.secret(rotation_id)
    assert state_of(world, secret) is None
    world.clock.advance(hours=2)
    assert state_of(world, secret) == "current"


@EACH_STORE
def test_rollback_and_restore_swap_what_is_current(rotated: World) -> None:
    act(rotated, "bob", "rollback", reason="it broke")
    assert states(rotated) == ("current", "grace")
    act(rotated, "bob", "restore")
    assert states(rotated) == ("grace", "current")
    assert reason_of(rotated, rotated.admins["bob"].action("restore")) == (409, "not_rolled_back")


def test_a_compromised_version_dies_at_once(rotated: World) -> None:
    done = act(rotated, "bob", "rollback", compromised=True)
    assert states(rotated) == ("current", None)
    assert done["previous_version"] is None
    assert done["effective_within_seconds"] == 5


def test_retiring_early_wants_a_second_person(rotated: World) -> None:
    version_id = rotated.document(f"oauth2_clients/{CLIENT}")["previous_version"]
    first = act(rotated, "alice", "retire", version_id=version_id)
    again = act(rotated, "alice", "retire", version_id=version_id)
    assert (first["awaits_second_person"], again["awaits_second_person"]) == (True, True)
    assert states(rotated) == ("grace", "current")

    second = act(rotated, "bob", "retire", version_id=version_id)

    assert not second["awaits_second_person"]
    assert states(rotated) == (None, "current")


def test_revoking_current_falls_back_to_the_version_in_grace(rotated: World) -> None:
    version_id = rotated.document(f"oauth2_clients/{CLIENT}")["current_version"]
    act(rotated, "alice", "revoke", version_id=version_id)
    assert states(rotated) == ("current", None)


def test_revoking_all_wants_a_second_person_and_is_final(rotated: World) -> None:
    assert act(rotated, "alice", "revoke", version_id="all")["awaits_second_person"]
    assert act(rotated, "carol", "revoke", version_id="all")["status"] == "revoked"
    assert states(rotated) == (None, None)
    assert reason_of(rotated, rotated.admins["alice"].rotation()) == (409, "client_revoked")
    assert reason_of(rotated, rotated.admins["alice"].action("resume")) == (409, "client_revoked")


def test_suspend_and_resume(rotated: World) -> None:
    act(rotated, "alice", "suspend")
    assert states(rotated) == (None, None)
    assert act(rotated, "bob", "resume")["status"] == "active"
    assert states(rotated) == ("grace", "current")


def test_an_emergency_cancels_what_is_open_and_resumes_a_suspended_client(rotated: World) -> None:
    act(rotated, "alice", "suspend")
    emergency = rotated.admins["alice"].rotation(emergency=True, grace_milliseconds=0)

    asked = answer_of(rotated, emergency)
    rotated.pump()
    for user in ("bob", "carol"):
        answer_of(rotated, rotated.admins[user].ack(asked["rotation_id"]))

    assert asked["quorum"] == 2
    assert states(rotated) == (None, None)
    assert state_of(rotated, rotated.admins["bob"].secret(asked["rotation_id"])) == "current"


def test_an_ack_after_removal_from_the_group_does_not_count(world: World) -> None:
    world.found("alice", "bob")
    rotation_id = answer_of(world, world.admins["alice"].rotation())["rotation_id"]
    world.pump()
    ack = world.admins["bob"].ack(rotation_id)
    assert world.operator(f"/groups/{GROUP}/remove", {"user": "bob"}).status_code == 200
    assert reason_of(world, ack) == (403, "not_authorised")


# --- the same again --------------------------------------------------------------------------------------------------


@EACH_STORE
def test_the_same_event_gets_the_same_answer_even_after_the_state_moved_on(rotated: World) -> None:
    rollback = rotated.admins["bob"].action("rollback", {})
    first = rotated.send(rollback)
    act(rotated, "bob", "restore")
    before = rotated.dump()

    again = rotated.send(rollback)

    assert (again.status_code, again.text) == (200, first.text)
    assert rotated.dump() == before
    assert states(rotated) == ("grace", "current")


def test_the_same_event_gets_the_same_answer_when_it_is_stale(rotated: World) -> None:
    suspend = rotated.admins["bob"].action("suspend", {})
    first = rotated.send(suspend)
    rotated.clock.advance(minutes=10)
    assert rotated.send(suspend).text == first.text


@EACH_STORE
def test_the_same_event_sent_at_once_by_many_is_done_once(issued: World) -> None:
    event = issued.admins["alice"].rotation()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(issued.send, [event] * 4))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(versions(issued)) == 2


def versions(world: World) -> list[str]:
    return [path for path in world.documents() if path.startswith(f"oauth2_clients/{CLIENT}/secrets/")]


@EACH_STORE
def test_another_event_of_the_same_request_gets_the_same_answer(issued: World) -> None:
    alice = issued.admins["alice"]
    request = {"rotation_id": issued.new_id(), "not_before": issued.milliseconds(hours=3)}
    first = issued.send(alice.rotation(**request))
    issued.clock.advance(seconds=30)
    before = issued.dump()

    again = issued.send(alice.rotation(**request))

    assert again.text == first.text
    assert issued.dump() == before


def test_the_same_request_as_a_service_event_gets_the_same_answer(issued: World) -> None:
    alice = issued.admins["alice"]
    request = alice.request()
    first = answer_of(issued, alice.rotation(rotation_id=request.rotation_id))
    params = {**request.params(), "reason": request.reason}
    again = answer_of(issued, alice.action("rotation", params, action_id=request.rotation_id))
    assert again == first
    assert len(versions(issued)) == 2


@pytest.mark.parametrize(
    "changed",
    [{"reason": "another one"}, {"grace_milliseconds": 1}, {"supersede": True}, {"emergency": True}],
    ids=["reason", "grace", "supersede", "emergency"],
)
def test_the_same_rotation_id_with_other_parameters_is_a_conflict(issued: World, changed: dict[str, Any]) -> None:
    alice = issued.admins["alice"]
    rotation_id = answer_of(issued, alice.rotation())["rotation_id"]
    assert reason_of(issued, alice.rotation(rotation_id=rotation_id, **changed)) == (409, "rotation_id_taken")


def test_the_same_rotation_id_by_another_signer_is_a_conflict(issued: World) -> None:
    rotation_id = answer_of(issued, issued.admins["alice"].rotation())["rotation_id"]
    again = issued.admins["bob"].rotation(rotation_id=rotation_id)
    assert reason_of(issued, again) == (409, "rotation_id_taken")


def test_the_rotation_id_of_an_ended_rotation_is_not_used_again(rotated: World) -> None:
    rotation_id = rotated.document(f"oauth2_clients/{CLIENT}")["last_rotation"]
    taken = rotated.admins["bob"].rotation(rotation_id=rotation_id, supersede=True)
    assert reason_of(rotated, taken) == (409, "rotation_id_taken")


def test_one_person_acknowledges_once_on_whatever_event(issued: World) -> None:
    event = issued.admins["alice"].rotation(not_before=issued.milliseconds(hours=1))
    rotation_id = answer_of(issued, event)["rotation_id"]
    issued.pump()
    ack = issued.admins["bob"].ack(rotation_id)
    first = issued.send(ack)
    assert issued.send(ack).text == first.text
    issued.clock.advance(seconds=1)
    assert reason_of(issued, issued.admins["bob"].ack(rotation_id)) == (409, "already_acknowledged")


# --- two at once -----------------------------------------------------------------------------------------------------


def at_once(world: World, *events: Event) -> list[tuple[int, str]]:
    with ThreadPoolExecutor(len(events)) as pool:
        answers = list(pool.map(world.send, events))
    return sorted((item.status_code, str(cast("dict[str, Any]", item.json).get("reason", ""))) for item in answers)


@EACH_STORE
def test_of_two_admins_who_rotate_one_client_at_once_one_wins(issued: World) -> None:
    for turn in range(3):
        outcomes = at_once(issued, *(issued.admins[user].rotation() for user in ("alice", "bob", "carol")))
        assert outcomes == [(200, ""), (409, "rotation_active"), (409, "rotation_active")]
        assert len(versions(issued)) == 2 + turn
        rotation_id = issued.document(f"oauth2_clients/{CLIENT}")["active_rotation"]
        act(issued, "carol", "cancel", rotation_id=rotation_id)


@EACH_STORE
def test_of_a_cancel_and_the_last_ack_at_once_one_wins(issued: World) -> None:
    rotation_id = answer_of(issued, issued.admins["alice"].rotation())["rotation_id"]
    issued.pump()
    cancel = issued.admins["alice"].action("cancel", {"rotation_id": rotation_id})
    assert at_once(issued, cancel, issued.admins["bob"].ack(rotation_id)) == [(200, ""), (409, "rotation_not_open")]


@EACH_STORE
def test_acks_at_once_are_all_counted(world: World) -> None:
    world.found("alice", "bob", "carol", "dave", policy={"quorum": 3})
    rotation_id = answer_of(world, world.admins["alice"].rotation())["rotation_id"]
    world.pump()
    acks = [world.admins[user].ack(rotation_id) for user in ("bob", "carol", "dave")]
    assert at_once(world, *acks) == [(200, "")] * 3
    assert world.document(f"oauth2_rotations/{rotation_id}")["outcome"] == "promoted"


# --- what it costs ---------------------------------------------------------------------------------------------------

COMMANDS: dict[str, Callable[[World], Event]] = {
    "rotation": lambda world: world.admins["alice"].rotation(supersede=True),
    "emergency": lambda world: world.admins["alice"].rotation(emergency=True),
    "rollback": lambda world: world.admins["alice"].action("rollback"),
    "suspend": lambda world: world.admins["alice"].action("suspend"),
    "retire": lambda world: world.admins["alice"].action(
        "retire", {"version_id": world.document(f"oauth2_clients/{CLIENT}")["previous_version"]}
    ),
    "revoke": lambda world: world.admins["alice"].action("revoke", {"version_id": "all"}),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_two_reads_and_one_commit(rotated: World, name: str) -> None:
    event = COMMANDS[name](rotated)
    rotated.control.calls.clear()
    answer_of(rotated, event)
    assert Counter(rotated.control.calls) == {"get": 2, "commit": 1}


def test_an_ack_that_promotes_is_two_reads_and_one_commit(issued: World) -> None:
    rotation_id = answer_of(issued, issued.admins["alice"].rotation())["rotation_id"]
    issued.pump()
    ack = issued.admins["bob"].ack(rotation_id)
    issued.control.calls.clear()
    assert answer_of(issued, ack)["outcome"] == "promoted"
    assert Counter(issued.control.calls) == {"get": 2, "commit": 1}


def test_a_refusal_is_two_reads_and_no_commit(rotated: World) -> None:
    event = rotated.admins["alice"].action("resume")
    rotated.control.calls.clear()
    assert reason_of(rotated, event) == (409, "not_suspended")
    assert Counter(rotated.control.calls) == {"get": 2}


def test_every_transition_has_its_entry_in_the_chain(rotated: World) -> None:
    head = rotated.document(f"oauth2_clients/{CLIENT}")["audit_head"]
    entries = sorted(path for path in rotated.documents() if path.startswith(f"oauth2_clients/{CLIENT}/audit/"))
    actions = [rotated.document(path)["action"] for path in entries]
    one_rotation = ["request", "distribute", "acknowledge", "promote"]
    assert actions == ["add_client", *one_rotation, *one_rotation]
    assert head["seq"] == len(entries)
