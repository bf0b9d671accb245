"""A group takes 1,000 devices: refused at the invite, and again at the join."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.device.core.errors import ServerRefusedError
from keyturn.ports.store import put
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import MOST_DEVICES, Roster

from tests.world import EACH_STORE, GROUP

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.world import World

pytestmark = EACH_STORE


def fill(world: World, left: int) -> None:
    """Fill the group with absent devices, so that so many places are left."""
    path = paths.roster(GROUP)
    document = world.control.inner.get([path])[path]
    roster = from_data(Roster, document.fields)
    template, count = roster.members[0], MOST_DEVICES - left - len(roster.members)
    absent = tuple(replace(template, user=f"user-{number}", npub=f"{number:064x}") for number in range(count))
    world.control.inner.commit([put(document, to_data(replace(roster, absent=absent)))])


def reason(answer: TestResponse) -> tuple[int, object]:
    return answer.status_code, (answer.json or {}).get("reason")


def test_a_full_group_invites_no_device(world: World) -> None:
    world.found("alice")
    fill(world, left=1)
    world.join("bob")
    for purpose in ("join", "device"):
        asked = {"user": "carol", "group_id": GROUP, "purpose": purpose}
        assert reason(world.operator("/invites", asked)) == (409, "group_full")
    assert world.operator("/invites", {"user": "alice", "group_id": GROUP, "purpose": "totp"}).status_code == 200


def test_of_two_invites_for_the_last_place_the_second_stays_unused(world: World) -> None:
    world.found("alice")
    fill(world, left=1)
    first, second = world.invite("bob"), world.invite("carol")
    world.new_admin("bob").device.join(first)

    with pytest.raises(ServerRefusedError) as refused:
        world.new_admin("carol").device.join(second)
    assert refused.value.reason == "group_full"
    assert len(from_data(Roster, world.document(paths.roster(GROUP))).members) == 2

    fill(world, left=1)  # one left
    world.new_admin("carol-again").device.join(second)


def test_a_device_of_a_full_group_comes_back(world: World) -> None:
    world.found("alice", "bob")
    fill(world, left=0)
    for _ in range(4):
        world.clock.advance(days=8)
        world.admins["alice"].device.catch_up()
        world.sweep()
    assert [member["user"] for member in world.document(paths.roster(GROUP))["members"]] == ["alice"]
    world.admins["bob"].device.catch_up()
    assert {member["user"] for member in world.document(paths.roster(GROUP))["members"]} == {"alice", "bob"}
