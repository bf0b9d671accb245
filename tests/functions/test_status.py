"""The reads of members and invitees: rotations, clients, pages of logs, and Welcomes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.store import Create
from keyturn.proofs.nip98 import sign_authorization

from tests.world import CLIENT, GROUP, URL

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.world import Admin, World

pytestmark = pytest.mark.world("alice", "bob")


def get(world: World, admin: Admin, path: str) -> TestResponse:
    url = f"{URL}/status{path}"
    key = admin.signer.private_key
    header = sign_authorization(key, url=url, method="GET", body=None, now=world.clock.now, random=os.urandom)
    return world.call("GET", f"/status{path}", b"", {"Authorization": header})


def shown(world: World, user: str, path: str) -> dict[str, Any]:
    answer = get(world, world.admins[user], path)
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json)


def open_rotation(world: World) -> str:
    answer = world.send(world.admins["alice"].rotation())
    world.pump()
    return str(cast("Any", answer.json)["rotation_id"])


def test_a_rotation_lists_its_recipients_and_acknowledgements(world: World) -> None:
    rotation_id = open_rotation(world)
    world.send(world.admins["bob"].ack(rotation_id))

    rotation = shown(world, "alice", f"/rotations/{rotation_id}")

    npubs = {user: admin.signer.public_key for user, admin in world.admins.items()}
    assert {(item["user"], item["npub"], item["group"]) for item in rotation["recipients"]} == {
        ("alice", npubs["alice"], GROUP),
        ("bob", npubs["bob"], GROUP),
    }
    assert [(ack["user"], ack["npub"]) for ack in rotation["acks"]] == [("bob", npubs["bob"])]
    assert (rotation["phase"], rotation["outcome"], rotation["group"]) == ("completed", "promoted", GROUP)
    assert rotation["requested_by"] == {"user": "alice", "npub": npubs["alice"]}
    assert not {"request_digest", "waiting_for", "secret_hash"} & set(rotation)


def test_a_rotation_and_its_client_are_shown_as_of_now(world: World) -> None:
    rotation_id = open_rotation(world)
    world.clock.advance(minutes=30)
    assert shown(world, "bob", f"/rotations/{rotation_id}")["outcome"] == "expired"
    client = shown(world, "bob", f"/clients/{CLIENT}")
    assert (client["active_rotation"], client["now"], client["versions"]) == (None, world.milliseconds(), [])
    assert world.document(f"oauth2_rotations/{rotation_id}")["outcome"] is None


def test_an_ended_rotation_stays_readable(world: World) -> None:
    rotations = []
    for _turn in range(3):
        rotations.append(open_rotation(world))
        world.send(world.admins["bob"].ack(rotations[-1]))
        world.clock.advance(hours=2)
    assert [shown(world, "bob", f"/rotations/{item}")["outcome"] for item in rotations] == ["promoted"] * 3


def test_a_log_is_read_in_order_by_the_page(world: World) -> None:
    first = world.document(f"mls_groups/{GROUP}")["next_index"]
    entry = world.document(f"mls_groups/{GROUP}/messages/{first - 1:012d}")
    for index in range(first, 206):
        world.control.inner.commit([Create(f"mls_groups/{GROUP}/messages/{index:012d}", {**entry, "index": index})])

    pages: list[list[int]] = []
    after: object = "0"
    while after is not None:
        page = shown(world, "bob", f"/groups/{GROUP}/messages?after={after}")
        pages.append([item["index"] for item in page["messages"]])
        after = page["next"]

    assert [len(page) for page in pages] == [100, 100, 5]
    assert [index for page in pages for index in page] == list(range(1, 206))


def test_a_full_last_page_is_followed_by_an_empty_one(world: World) -> None:
    first = world.document(f"mls_groups/{GROUP}")["next_index"]
    entry = world.document(f"mls_groups/{GROUP}/messages/{first - 1:012d}")
    for index in range(first, 101):
        world.control.inner.commit([Create(f"mls_groups/{GROUP}/messages/{index:012d}", {**entry, "index": index})])
    assert shown(world, "bob", f"/groups/{GROUP}/messages")["next"] == 100
    assert shown(world, "bob", f"/groups/{GROUP}/messages?after=100") == {"messages": [], "next": None}
    assert shown(world, "bob", f"/groups/{GROUP}/messages?after=000000000100")["messages"] == []


def test_a_welcome_is_shown_to_its_device_whatever_its_reference_begins_with(world: World) -> None:
    npub = world.admins["bob"].signer.public_key
    path = next(path for path in world.documents() if path.startswith("welcomes/"))
    for first in (b"\xf8", b"\xfc", b"\x00"):  # "-", "_" and "A" in base64url
        reference = base64url_encode(first + b"\x01" * 31)
        world.control.inner.commit([Create(f"welcomes/{reference}", {**world.document(path), "npub": npub})])
        assert shown(world, "bob", f"/welcomes/{reference}")["event"]["kind"] == 444
        assert get(world, world.admins["alice"], f"/welcomes/{reference}").status_code == 404


def test_every_device_can_fetch_its_own_welcome(world: World) -> None:
    for path in [path for path in world.documents() if path.startswith("welcomes/")]:
        admin = next(item for item in world.admins.values() if item.signer.public_key == world.document(path)["npub"])
        assert get(world, admin, f"/{path}").status_code == 200


def test_a_hidden_entity_is_answered_like_an_absent_one(world: World) -> None:
    rotation_id = open_rotation(world)
    outsider = world.new_admin("mallory")
    for there, not_there in (
        (f"/rotations/{rotation_id}", f"/rotations/{world.new_id()}"),
        (f"/clients/{CLIENT}", "/clients/nobody-knows-this"),
        (f"/groups/{GROUP}/messages", "/groups/group-of-nobody/messages"),
    ):
        answers = [get(world, outsider, path) for path in (there, not_there)]
        assert len({(answer.status_code, answer.text) for answer in answers}) == 1


def test_reading_commits_nothing_in_control(world: World) -> None:
    rotation_id = open_rotation(world)
    world.control.calls.clear()
    for path in (f"/rotations/{rotation_id}", f"/clients/{CLIENT}", f"/groups/{GROUP}/messages"):
        shown(world, "bob", path)
    assert "commit" not in world.control.calls


def test_a_refused_caller_learns_how_to_authenticate(world: World) -> None:
    answer = world.call("GET", f"/status/clients/{CLIENT}")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Nostr")
    operator = world.call("GET", "/operator/clients")
    assert (operator.status_code, operator.headers["WWW-Authenticate"]) == (401, "Bearer")
