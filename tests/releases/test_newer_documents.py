"""Documents with one more policy, phase, kind, status and field: this release keeps them, and grants nothing there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.records.schema import KINDS

from tests.releases.damage import NEWER
from tests.releases.stores import VICTIM, built
from tests.world import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.ports.store import Data

    from tests.releases.stores import Built

CLIENT = ("control", f"oauth2_clients/{VICTIM}")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with built(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


def client_of(deployment: Built) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", deployment.documents["control"][CLIENT[1]].data))


def newer_client(deployment: Built, name: str) -> dict[tuple[str, str], Data]:
    """Return the victim's documents as a newer release might have written them."""
    client = client_of(deployment)
    rotation_path = f"oauth2_rotations/{client['active_rotation']}"
    rotation = dict(cast("Mapping[str, Any]", deployment.documents["control"][rotation_path].data))
    newer: dict[str, dict[tuple[str, str], Data]] = {
        "policy": {CLIENT: {**client, "policy": {**client["policy"], "hardware_quorum": 2}}},
        "kind": {CLIENT: {**client, "kind": "mutual_tls"}},
        "status": {CLIENT: {**client, "status": "quarantined"}},
        "field": {CLIENT: {**client, "risk": {"score": 3}}},
        "phase": {
            CLIENT: {**client, "live": {**client["live"], "rotation": {**client["live"]["rotation"], "phase": NEWER}}},
            ("control", rotation_path): {**rotation, "phase": NEWER},
        },
    }
    return newer[name]


NEWER_CLIENTS = ("policy", "phase", "kind", "status", "field")


def act(deployment: Built, action: str, params: Mapping[str, object] | None = None, user: str = "bob") -> int:
    event = deployment.world.admins[user].action(action, params, client_id=VICTIM)
    return deployment.world.send(event).status_code


@pytest.mark.parametrize("name", NEWER_CLIENTS)
def test_credentials_status_and_commands_work_on_a_client_of_a_newer_release(deployment: Built, name: str) -> None:
    deployment.restore(newer_client(deployment, name))
    world, active = deployment.world, name != "status"
    for secret in (VICTIM, "victim's previous"):
        assert world.check(deployment.secrets[secret], VICTIM)["accepted"] is active
    shown = world.operator(f"/clients/{VICTIM}")
    assert shown.status_code == 200
    assert VICTIM in world.operator("/clients").text
    # The policy, and what this release does not know stays as it is.
    policy = {"policy": {"quorum": 1, "grace_seconds": 1200}}
    assert world.operator(f"/clients/{VICTIM}/policy", policy).status_code == 200
    stored = world.document(CLIENT[1])
    assert stored["policy"]["grace_seconds"] == 1200
    expected = newer_client(deployment, name)[CLIENT]
    for field in ("kind", "status", "risk"):
        assert stored.get(field) == expected.get(field)
    assert stored["policy"].get("hardware_quorum") == cast("Any", expected["policy"]).get("hardware_quorum")
    # A rollback needs the lock. Another release may promote an unknown phase, and end the older grace by that: so the
    # rotation cannot be canceled as long as that version is live.
    cancel = {"rotation_id": deployment.rotations[VICTIM]}
    previous, current = (stored[field] for field in ("previous_version", "current_version"))
    if name == "phase":
        assert act(deployment, "cancel", cancel) == 409
        assert act(deployment, "revoke", {"version_id": previous}) == 200
        assert act(deployment, "cancel", cancel) == 200
    else:
        assert act(deployment, "cancel", cancel) == 200
        assert act(deployment, "rollback") == (200 if active else 409)
        assert world.check(deployment.secrets["victim's previous"], VICTIM)["accepted"] is active
        previous, current = (current, previous) if active else (previous, current)
        assert act(deployment, "revoke", {"version_id": previous}) == 200
    assert act(deployment, "revoke", {"version_id": current, "force": True}) == 200
    assert act(deployment, "revoke", {"version_id": "all"}) == 200
    assert world.document(CLIENT[1])["status"] == "revoked"
    assert not world.check(deployment.secrets["victim's previous"], VICTIM)["accepted"]


@pytest.mark.parametrize("name", NEWER_CLIENTS)
def test_a_grant_under_what_is_unknown_names_the_reason(deployment: Built, name: str) -> None:
    deployment.restore(newer_client(deployment, name))
    world = deployment.world
    assert world.sweep()["failed"] == (name != "field")
    answer = world.send(world.admins["bob"].rotation(client_id=VICTIM, supersede=True))
    if name == "field":  # its canary has come, so the sweep has promoted it
        assert answer.status_code == 200, answer.text
    else:
        assert (answer.status_code, cast("Any", answer.json)["reason"]) == (409, "newer_release")


def test_a_policy_of_a_newer_release_can_be_removed(deployment: Built) -> None:
    deployment.restore(newer_client(deployment, "policy"))
    world = deployment.world
    removed = world.operator(f"/clients/{VICTIM}/policy", {"policy": {"hardware_quorum": None}})
    assert removed.status_code == 200
    assert "hardware_quorum" not in world.document(CLIENT[1])["policy"]
    for value in (2, None):
        unknown = world.operator(f"/clients/{VICTIM}/policy", {"policy": {"hardware_quorum": value}})
        assert (unknown.status_code, cast("Any", unknown.json)["reason"]) == (422, "unknown_policy")


def test_a_damaged_rotation_can_be_canceled_and_followed_by_another(deployment: Built) -> None:
    client = client_of(deployment)
    rotation_path = ("control", f"oauth2_rotations/{client['active_rotation']}")
    live = {**client["live"], "rotation": 17, "pending": None}
    deployment.restore({CLIENT: {**client, "live": live}, rotation_path: {"rotation_id": client["active_rotation"]}})
    world = deployment.world
    assert world.check(deployment.secrets[VICTIM], VICTIM)["accepted"]
    assert act(deployment, "cancel", {"rotation_id": client["active_rotation"]}) == 200
    assert world.document(CLIENT[1])["active_rotation"] is None
    answer = world.send(world.admins["bob"].rotation(client_id=VICTIM, supersede=True))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("damage", [17, {"quorum": "many"}])
def test_a_damaged_policy_is_replaced_by_setting_it(deployment: Built, damage: object) -> None:
    client = client_of(deployment)
    deployment.restore({CLIENT: {**client, "policy": cast("Any", damage)}})
    world = deployment.world
    assert world.check(deployment.secrets[VICTIM], VICTIM)["accepted"]
    assert world.operator(f"/clients/{VICTIM}/policy", {"policy": {"quorum": 1}}).status_code == 200
    assert world.document(CLIENT[1])["policy"] == {"quorum": 1}


def test_every_document_that_this_release_changes_keeps_the_fields_of_a_newer_one(deployment: Built) -> None:
    newer: dict[tuple[str, str], Data] = {
        (database, path): {**(document.data or {}), "newer": {"field": (1,)}}
        for database, documents in deployment.documents.items()
        for path, document in documents.items()
    }
    deployment.restore(newer)
    world = deployment.world
    for name in ("ack", "request"):
        assert world.send(deployment.events[name]).status_code == 200
    assert deployment.try_to_distribute("waiting")
    world.clock.advance(hours=2)
    world.sweep()
    world.join("dave")
    world.operator(f"/groups/{GROUP}/remove", {"user": "bob"})
    world.operator("/denied", {"add": {"users": ["mallory-2"]}})
    world.clock.advance(hours=-2)
    versions = {key: deployment.documents[key[0]][key[1]].version for key in newer}
    changed = set()
    for key in newer:
        document = getattr(world, key[0]).inner.get([key[1]])[key[1]]
        if document.exists and document.version != versions[key]:
            changed.add(next(kind.pattern for kind in KINDS if kind.matches(key[1])))
            assert "newer" in document.fields, key[1]
            assert dict(cast("Any", document.fields["newer"])) == {"field": (1,)}
    assert changed >= {
        "oauth2_clients/{client}",
        "oauth2_clients/{client}/secrets/{version}",
        "oauth2_rotations/{rotation}",
        "mls_groups/{group}",
        "mls_groups/{group}/roster/members",
        "service/denied",
        "service/house",
    }
