"""With one read or with two, the same command writes the same documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.ports.effects import Environment
from keyturn.ports.store import Delete, LostRace, Replace
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.records.roster import Roster
from keyturn.use_cases.client_repository import Clients, ReadPlan

from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.ports.store import Data
    from keyturn.proofs.nostr import Event

    from tests.memory_store import MemoryStore
    from tests.world import World

OTHER = "second-line-team"
GROUPS = (GROUP, OTHER)


def issued(world: World) -> World:
    world.found("alice", "bob", "carol", groups=GROUPS)
    world.issue("alice", "bob")
    world.clock.advance(hours=2)
    return world


def rotated(world: World) -> World:
    issued(world).issue("alice", "carol")
    world.clock.advance(minutes=1)
    return world


def opened(world: World, **lead: float) -> str:
    """Have a rotation of a client with a version in grace open and sent, for later by `lead`; its id."""
    alice = rotated(world).admins["alice"]
    answer = world.send(alice.rotation(supersede=True, not_before=world.milliseconds(**lead)))
    world.pump()
    return str(cast("Any", answer.json)["rotation_id"])


def act(world: World, user: str, action: str, **params: object) -> Event:
    return world.admins[user].action(action, params)


def live(world: World, name: str) -> str:
    return str(world.document(paths.client(CLIENT))[name])


def first_ack(world: World) -> Event:
    rotation_id = opened(world, hours=9)
    return world.admins["bob"].ack(rotation_id)


def second_ack(world: World) -> Event:
    rotation_id = opened(world, hours=9)
    assert world.send(world.admins["bob"].ack(rotation_id)).status_code == 200
    return world.admins["carol"].ack(rotation_id)


def due_for_promotion(world: World) -> Event:
    """Return a command that arrives when a promotion is due and not yet written."""
    rotation_id = opened(world, minutes=30)
    assert world.send(world.admins["bob"].ack(rotation_id)).status_code == 200
    world.clock.advance(hours=1)
    return act(world, "carol", "suspend")


def restored(world: World) -> Event:
    assert world.send(act(rotated(world), "bob", "rollback")).status_code == 200
    return act(world, "carol", "restore")


def resumed(world: World) -> Event:
    assert world.send(act(rotated(world), "bob", "suspend")).status_code == 200
    return act(world, "carol", "resume")


def of_open(action: str) -> Callable[[World], Event]:
    def make(world: World) -> Event:
        rotation_id = opened(world)
        return act(world, "carol", action, **({"rotation_id": rotation_id} if action == "cancel" else {}))

    return make


COMMANDS: dict[str, Callable[[World], Event]] = {
    "a rotation": lambda world: issued(world).admins["alice"].rotation(),
    "a rotation that supersedes": lambda world: rotated(world).admins["bob"].rotation(supersede=True),
    "an emergency over an open rotation": of_open("emergency"),
    "the first ack": first_ack,
    "an ack beyond the quorum": second_ack,
    "a cancel": of_open("cancel"),
    "a suspend over an open rotation": of_open("suspend"),
    "a suspend after a promotion that is due": due_for_promotion,
    "a resume": resumed,
    "a rollback": lambda world: act(rotated(world), "bob", "rollback"),
    "a compromised rollback": lambda world: act(rotated(world), "bob", "rollback", compromised=True),
    "a restore": restored,
    "a first approval to retire": lambda world: act(
        rotated(world), "bob", "retire", version_id=live(world, "previous_version")
    ),
    "a revocation of the current version over an open rotation": lambda world: act(
        world, "bob", "revoke", version_id=(opened(world), live(world, "current_version"))[1]
    ),
    "a revocation of the pending version": lambda world: act(
        world, "bob", "revoke", version_id=world.document(paths.rotation(opened(world)))["new_version"]
    ),
}


def roster_of(world: World, *beside: str) -> Roster:
    """Return the roster of the devices' group, with `beside` as the groups beside it."""
    return replace(from_data(Roster, world.document(paths.roster(GROUP))), beside=beside)


def effect_of(world: World, event: Event, roster: Roster | None) -> tuple[dict[str, Data | None], list[str]]:
    """Return the documents after a command, and its calls. The store is reset afterwards."""
    store = cast("MemoryStore", world.control.inner)
    before = dict(store._documents)
    accept = replace(world.suite.commands.accept_event, environment=Environment(bytes, lambda _seconds: None))
    world.control.calls.clear()
    accept.accept(event, roster=roster)
    after, calls = {path: item.data for path, item in store._documents.items()}, list(world.control.calls)
    store.restore(before, store._version)
    world.queue.clear()
    return after, calls


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_the_same_documents_either_way(world: World, name: str) -> None:
    event = COMMANDS[name](world)
    with_all, calls = effect_of(world, event, None)
    at_once, fewer = effect_of(world, event, roster_of(world, OTHER))
    assert at_once == with_all
    assert (calls, fewer) == (["get", "get", "commit"], ["get", "commit"])


def test_recipients_and_acks_are_kept(world: World) -> None:
    rotation_id = opened(world, hours=9)
    world.send(world.admins["bob"].ack(rotation_id))
    before = world.document(paths.rotation(rotation_id))
    world.suite.commands.accept_event.accept(act(world, "carol", "suspend"), roster=roster_of(world, OTHER))
    after = world.document(paths.rotation(rotation_id))
    assert (after["outcome"], after["recipients"], after["acks"]) == ("canceled", before["recipients"], before["acks"])


def test_a_roster_lists_the_other_groups_of_its_clients(world: World) -> None:
    issued(world)
    assert groups_beside(world) == {GROUP: [OTHER], OTHER: [GROUP]}
    assert world.operator("/groups", {"group_id": "third"}).status_code == 200
    world.add_client("another-client", [OTHER, "third"])
    world.add_client("one-more", ["third", OTHER])
    assert groups_beside(world) == {GROUP: [OTHER], OTHER: [GROUP, "third"], "third": [OTHER]}
    world.join("dave", OTHER)
    assert groups_beside(world)[OTHER] == [GROUP, "third"]


def groups_beside(world: World) -> dict[str, list[str]]:
    rosters = [world.document(path) for path in sorted(world.documents()) if path.endswith("/roster/members")]
    return {roster["group_id"]: list(roster["beside"]) for roster in rosters}


def test_a_rotation_in_another_groups_name_costs_no_more(world: World) -> None:
    event = issued(world).admins["alice"].rotation(group=OTHER)
    with_all, _ = effect_of(world, event, None)
    at_once, calls = effect_of(world, event, roster_of(world, OTHER))
    assert (at_once, calls) == (with_all, ["get", "commit"])


def test_unexpected_groups_cost_a_second_read(world: World) -> None:
    event = act(issued(world), "bob", "suspend")
    assert effect_of(world, event, roster_of(world))[1] == ["get", "get", "commit"]
    assert effect_of(world, event, roster_of(world))[0] == effect_of(world, event, roster_of(world, OTHER))[0]


def test_a_client_document_without_its_last_rotation_costs_a_second_read(world: World) -> None:
    event = act(rotated(world), "bob", "rollback")
    path = paths.client(CLIENT)
    document = world.control.inner.get([path])[path]
    data = dict(document.data or {})
    data["live"] = {name: item for name, item in cast("Any", data["live"]).items() if name != "last"}
    world.control.inner.commit([Replace(path, data, document.version or "")])
    with_all, calls = effect_of(world, event, None)
    at_once, same = effect_of(world, event, roster_of(world, OTHER))
    assert (at_once, same) == (with_all, calls)


def test_a_commit_does_not_rest_on_rosters_of_other_groups(world: World) -> None:
    issued(world)
    assert world.operator("/groups", {"group_id": "third"}).status_code == 200
    accept, event = world.suite.commands.accept_event, act(world, "bob", "suspend")
    reading = accept.clients.read(CLIENT, ReadPlan(expected_groups=[*GROUPS, "third"]))
    assert paths.roster("third") not in reading.snapshot.documents
    assert accept.accept(event, roster=roster_of(world, OTHER, "third"))["status"] == "suspended"


def test_a_missing_rotation_is_not_invented(world: World) -> None:
    path = paths.rotation(opened(world))
    world.control.inner.commit([Delete(path, world.control.inner.get([path])[path].version or "")])
    accept = world.suite.commands.accept_event
    before = world.documents()
    with pytest.raises(LostRace):
        accept.accept(act(world, "carol", "suspend"), roster=roster_of(world, OTHER))
    assert world.documents() == before


OPERATED: dict[str, tuple[str, dict[str, object]]] = {
    "a policy": ("policy", {"policy": {"grace_seconds": 7200}}),
    "token terms": ("tokens", {"scopes": ["read"]}),
}


@pytest.mark.parametrize("name", OPERATED)
def test_an_operators_command_leaves_the_same_documents_either_way(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    due_for_promotion(world)  # it comes when a promotion is due
    store = cast("MemoryStore", world.control.inner)
    before = dict(store._documents)
    left = []
    for _ in range(2):
        store.restore(before, store._version)
        path, fields = OPERATED[name]
        assert world.operator(f"/clients/{CLIENT}/{path}", fields).status_code == 200
        left.append({place: item.data for place, item in store._documents.items()})
        monkeypatch.setattr(Clients, "_complete", lambda *_arguments: None)  # as if one read were not enough
    assert left[0] == left[1] != {place: item.data for place, item in before.items()}
