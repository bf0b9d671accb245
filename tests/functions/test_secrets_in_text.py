"""A secret that a person pastes into a free text is refused by every function that takes one, and stored nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import bcrypt
import pytest
from keyturn.domain.secret_format import scannable_secret
from keyturn.use_cases.commands.actions import ACTIONS
from keyturn.use_cases.commands.intent import ROTATIONS

from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from tests.world import World

pytestmark = pytest.mark.world("alice", "bob", client={"policy": {"minimum_interval_seconds": 0}})

OLD = "hunter22-of-acme"
ANOTHER = scannable_secret(bytes(32), "01KJMMKJ6RASMS75C7BGS0GDCF")


def reasons(world: World) -> list[str]:
    """Return reasons that hold a live secret of the client, and one that is nobody's."""
    return [f"replaces {world.issue('alice', 'bob')}", f"found {ANOTHER} in a log"]


def test_reasons_of_rotations_and_actions_are_refused(world: World) -> None:
    for reason in reasons(world):
        alice = world.admins["alice"]
        events = [alice.rotation(reason=reason)]
        for action in sorted(ACTIONS):
            names = {"rotation_reason": reason} if action in ROTATIONS else {"reason": reason}
            params = {**alice.request(reason="x").params(), **names} if action in ROTATIONS else names
            target = {"action_id": params["rotation_id"]} if action in ROTATIONS else {}
            events.append(alice.action(action, params, **target))
        answers = [cast("Any", world.send(event).json) for event in events]
        assert [answer["reason"] for answer in answers] == ["secret_in_text"] * len(events)
        assert reason.split()[1].encode() not in world.dump()


@pytest.mark.parametrize("path", ["/denied", "/stop", "/start"])
def test_reasons_of_the_operator_are_refused(world: World, path: str) -> None:
    for reason in reasons(world):
        answer = world.operator(path, {"reason": reason, "add": {"users": ["mallory"]}})
        assert (answer.status_code, cast("Any", answer.json)["reason"]) == (400, "secret_in_text")
        assert reason.split()[1].encode() not in world.dump()
    for reason in ("", "x" * 513):
        answer = world.operator(path, {"reason": reason, "add": {"users": ["mallory"]}})
        assert (answer.status_code, cast("Any", answer.json)["reason"]) == (400, "bad_reason")


def add_imported_client(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Add a client with an imported secret, and return the list of all values that are hashed from now on."""
    hashed = bcrypt.hashpw(OLD.encode(), bcrypt.gensalt(4)).decode()
    row = {"client_id": "old", "groups": [GROUP], "kind": "oauth2_client_secret", "secret_hash": hashed}
    assert world.operator("/imports", {"clients": [row]}).json == {"added": ["old"], "known": [], "refused": []}
    values: list[str] = []
    checker = world.suite.verification.imported_checker
    compute = checker._check

    def check(password: bytes, of: str) -> bool:
        values.append(password.decode())
        return compute(password, of)

    monkeypatch.setattr(checker, "_check", check)
    return values


def test_an_imported_secret_costs_at_most_two_hashes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    values = add_imported_client(world, monkeypatch)
    alice = world.admins["alice"]
    refused = world.send(alice.rotation(client_id="old", reason=f"their password, {OLD}, leaked somewhere"))
    assert cast("Any", refused.json)["reason"] == "secret_in_text"
    assert OLD.encode() not in world.dump()
    values.clear()
    words = "several words, all of them long enough to be considered as candidates"
    assert world.send(alice.rotation(client_id="old", reason=words)).status_code == 200
    assert sorted(values) == ["candidates", "considered"]


def test_other_clients_cost_no_hash(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    values = add_imported_client(world, monkeypatch)
    assert (
        world.send(world.admins["alice"].rotation(client_id=CLIENT, reason="considered candidates")).status_code == 200
    )
    assert values == []
