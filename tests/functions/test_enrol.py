"""Enrolment: one code, one key package, one leaf; repeated, it is the same; refused, it takes nothing."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.device.core.signed_events import EventSigner, key_package_event

from tests.functions.scene import key_package
from tests.use_cases.faults import Died, Wire
from tests.world import GROUP, TOKEN

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event
    from werkzeug.test import TestResponse

    from tests.world import World

pytestmark = pytest.mark.world("alice", "bob")

OTHER_GROUP = "second-line-team"


def offer(world: World, signer: EventSigner | None = None) -> Event:
    own = signer or EventSigner(os.urandom(32), world.clock, os.urandom)
    return key_package_event(own, key_package(own.public_key, world.clock.now))


def enrol(world: World, code: str, event: Event) -> TestResponse:
    body = json.dumps({"code": code, "event": event.to_dict()}).encode()
    return world.call("POST", "/enrol/", body)


def reason_of(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, str(cast("Any", answer.json)["reason"])


def members(world: World, group: str = GROUP) -> list[str]:
    return [member["user"] for member in world.document(f"mls_groups/{group}/roster/members")["members"]]


def test_the_same_code_and_key_package_get_the_same_answer(world: World) -> None:
    code, event = world.invite("carol"), offer(world)
    first = enrol(world, code, event)
    before = world.dump()

    assert enrol(world, code, event).text == first.text
    world.clock.advance(hours=1)
    resigned = EventSigner(os.urandom(32), world.clock, os.urandom)
    assert reason_of(enrol(world, code, offer(world, resigned))) == (409, "invite_used")

    assert cast("Any", first.json)["user"] == "carol"
    assert world.dump() == before
    assert members(world) == ["alice", "bob", "carol"]


def test_the_same_at_once_adds_one_leaf(world: World) -> None:
    code, event = world.invite("carol"), offer(world)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _turn: enrol(world, code, event), range(3)))
    assert len({answer.text for answer in answers}) == 1
    assert members(world) == ["alice", "bob", "carol"]


def test_of_two_devices_with_one_code_one_joins(world: World) -> None:
    code, events = world.invite("carol"), [offer(world), offer(world)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda event: enrol(world, code, event), events))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert members(world) == ["alice", "bob", "carol"]


def test_a_code_is_over_after_a_day(world: World) -> None:
    code = world.invite("carol")
    world.clock.advance(hours=24)
    assert reason_of(enrol(world, code, offer(world))) == (403, "bad_invite")


def test_a_code_is_stored_as_its_hash_only(world: World) -> None:
    code = world.invite("carol")
    assert code.encode() not in world.dump()


def test_a_refused_device_leaves_the_code_to_the_right_one(world: World) -> None:
    code = world.invite("carol")
    assert reason_of(enrol(world, code, offer(world, world.admins["bob"].signer))) == (409, "already_member")
    assert enrol(world, code, offer(world)).status_code == 200


def test_a_key_package_joins_by_one_invite_only(world: World) -> None:
    event, second = offer(world), world.invite("dave")
    assert enrol(world, world.invite("carol"), event).status_code == 200
    assert reason_of(enrol(world, second, event)) == (409, "key_package_used")
    assert enrol(world, second, offer(world)).status_code == 200
    assert members(world) == ["alice", "bob", "carol", "dave"]


def test_a_key_package_of_one_group_is_not_answered_for_another(world: World) -> None:
    assert world.operator("/groups", {"group_id": OTHER_GROUP}).status_code == 200
    event = offer(world)
    assert enrol(world, world.invite("carol"), event).status_code == 200
    assert reason_of(enrol(world, world.invite("carol", OTHER_GROUP), event)) == (409, "key_package_used")
    assert members(world, OTHER_GROUP) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("database", ["auth", "control"])
def test_killed_around_each_commit_the_same_device_gets_in_and_no_other(
    world: World,
    database: str,
    after: bool,  # noqa: FBT001 - a case
) -> None:
    code, event = world.invite("carol"), offer(world)
    calls = Wire()
    suite = world.new_suite(**{database: calls.port(getattr(world, database))})
    assert suite.groups.npub  # the service's identity is read once, before
    calls.calls.clear()
    calls.at, calls.after = 1, after  # each database: one read, then one commit
    with pytest.raises(Died):
        suite.enrolment.join(code, event.to_dict())
    assert calls.calls == ["WatchedStore.get", "WatchedStore.commit"]

    other = enrol(world, code, offer(world))
    again = enrol(world, code, event)

    burnt = database == "control" or after
    assert (other.status_code, again.status_code) == ((409, 200) if burnt else (200, 409))
    assert members(world) == ["alice", "bob", "carol"]


def test_a_new_member_reads_later_messages(world: World) -> None:
    earlier = world.send(world.admins["alice"].rotation())
    world.pump()
    carol = world.join("carol")
    assert carol.device.catch_up() == []
    world.send(world.admins["alice"].ack(str(cast("Any", earlier.json)["rotation_id"])))
    world.clock.advance(hours=1)
    world.issue("alice", "carol")
    assert len(carol.device.inbox()) == 1


def test_only_the_operator_invites(world: World) -> None:
    body = json.dumps({"user": "mallory", "group_id": GROUP}).encode()
    for headers in ({}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer "}):
        assert world.call("POST", "/operator/invites", body, headers).status_code == 401
    assert world.call("POST", "//operator/invites", body).status_code in {401, 404}
    assert world.call("POST", "/operator/../operator/invites", body).status_code in {401, 404}


@pytest.mark.parametrize("user", ["operator", "time", "policy", "distribute", "canaries"])
def test_a_user_name_that_the_audit_log_reserves_is_refused(world: World, user: str) -> None:
    refused = world.operator("/invites", {"user": user, "group_id": GROUP})
    assert (refused.status_code, cast("Any", refused.json)["reason"]) == (400, "reserved_user")
