"""Canaries: instances prove by the door, the sweeper carries the count over, and the promotion waits for as many."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyturn.domain.encodings import base64url_encode
from keyturn.proofs.canaries import Canary
from keyturn.records.usage import MAX_INSTANCES

from tests.use_cases.usage.canary_requests import URL, answered, begun, nonce, post
from tests.world import CLIENT, EACH_STORE

if TYPE_CHECKING:
    from tests.world import World


def acknowledged(world: World, rotation_id: str) -> None:
    assert world.send(world.admins["bob"].ack(rotation_id)).status_code == 200


def rotation(world: World, rotation_id: str) -> dict[str, Any]:
    return world.document(f"oauth2_rotations/{rotation_id}")


@EACH_STORE
def test_a_promotion_waits_for_its_canaries(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    acknowledged(world, rotation_id)
    world.sweep()
    assert rotation(world, rotation_id)["phase"] == "acknowledged"
    assert world.check(secret)["accepted"] is False

    for instance, count in (("web-1", 1), ("web-1", 1), ("web-2", 2)):
        canary = Canary(rotation_id, CLIENT, version_id, instance, nonce(world))
        answer = answered(world, secret, canary)
        assert (answer.status_code, answer.json) == (
            200,
            {"rotation_id": rotation_id, "version_id": version_id, "canaries": count, "canaries_required": 2},
        )
        if count == 1:
            world.sweep()
            assert (rotation(world, rotation_id)["canaries"], rotation(world, rotation_id)["phase"]) == (
                1,
                "acknowledged",
            )
    assert world.sweep()["settled"] == 1

    assert (rotation(world, rotation_id)["canaries"], rotation(world, rotation_id)["outcome"]) == (2, "promoted")
    assert world.check(secret)["version_id"] == version_id
    actions = [item["actor"] for item in audit(world) if item["action"] == "count_canaries"]
    assert actions == ["canaries", "canaries"]


def audit(world: World) -> list[dict[str, Any]]:
    chain = sorted(path for path in world.documents() if path.startswith(f"oauth2_clients/{CLIENT}/audit/"))
    return [world.document(path) for path in chain]


def test_one_answer_given_twice_is_one_instance(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    canary = Canary(rotation_id, CLIENT, version_id, "web-1", nonce(world))
    for _ in range(2):
        assert (answered(world, secret, canary).json or {})["canaries"] == 1


def test_refusals_are_alike(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    good = Canary(rotation_id, CLIENT, version_id, "web-1", nonce(world))
    world.add_client("no-rotation")
    other = "01J00000000000000000000000"
    bodies = {
        json.dumps(answer.json)
        for answer in (
            answered(world, "A" * 43, good),
            answered(world, secret, good, instance_id="web-2"),
            answered(world, secret, replace(good, rotation_id=other)),
            answered(world, secret, replace(good, version_id=other)),
            answered(world, secret, replace(good, client_id="nobody", nonce=nonce(world, "nobody"))),
            answered(world, secret, replace(good, client_id="no-rotation", nonce=nonce(world, "no-rotation"))),
            answered(world, secret, good, signature=""),
            answered(world, secret, good, signature="not base64url!"),
        )
    }
    (body,) = bodies
    assert json.loads(body)["reason"] == "canary_refused"
    assert "canaries/" not in " ".join(world.documents(world.usage))


def test_a_signature_by_the_dummy_key_is_refused(world: World) -> None:
    begun(world)
    # RFC 8032 §7.1, test 1: this private key is public.
    known = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    canary = Canary("01J00000000000000000000000", CLIENT, "01J00000000000000000000000", "web-1", nonce(world))
    fields = {name: getattr(canary, name) for name in Canary.__slots__}
    answer = post(world, URL, {**fields, "signature": base64url_encode(known.sign(canary.signed_bytes()))})
    assert (answer.status_code, (answer.json or {})["reason"]) == (401, "canary_refused")


@pytest.mark.parametrize("made", ["", "AAAA", "A" * 54, "x" * 4000])
def test_a_nonce_that_is_not_ours_is_refused(world: World, made: str) -> None:
    rotation_id, version_id, secret = begun(world)
    answer = answered(world, secret, Canary(rotation_id, CLIENT, version_id, "web-1", made))
    assert answer.status_code in {400, 401}
    assert (answer.json or {})["reason"] in {"challenge_refused", "not_base64url"}


def test_a_nonce_is_for_one_client_and_ends(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    others = Canary(rotation_id, CLIENT, version_id, "web-1", nonce(world, "somebody-else"))
    assert (answered(world, secret, others).json or {})["reason"] == "challenge_refused"
    mine = replace(others, nonce=nonce(world))
    world.clock.advance(seconds=120)
    assert (answered(world, secret, mine).json or {})["reason"] == "challenge_refused"


def test_before_the_first_client_there_is_no_nonce(world: World) -> None:
    answer = post(world, f"{URL}/challenge", {"client_id": CLIENT})
    assert (answer.status_code, (answer.json or {})["reason"]) == (503, "no_salt")


def test_a_challenge_tells_nothing_of_a_client_and_stores_nothing(world: World) -> None:
    world.found("alice")
    world.sweep()
    before = world.dump()
    answers = [post(world, f"{URL}/challenge", {"client_id": name}) for name in (CLIENT, "nobody")]
    assert {(item.status_code, tuple(item.json or ())) for item in answers} == {(200, ("nonce", "expires_at"))}
    assert world.dump() == before


def test_instances_are_bounded(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    fixed = nonce(world)
    for number in range(MAX_INSTANCES + 3):
        answer = answered(world, secret, Canary(rotation_id, CLIENT, version_id, f"web-{number}", fixed))
        assert (answer.json or {})["canaries"] == min(number + 1, MAX_INSTANCES)
    data = world.usage.get([f"canaries/{rotation_id}"])[f"canaries/{rotation_id}"].data or {}
    assert len(data["instances"]) == MAX_INSTANCES  # type: ignore[arg-type]  # a list
    assert "web-" not in repr(data)


def test_instances_at_once_all_count(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    fixed = nonce(world)

    def prove(number: int) -> int:
        canary = Canary(rotation_id, CLIENT, version_id, f"web-{number}", fixed)
        return answered(world, secret, canary).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(prove, range(12))) == {200}
    data = world.usage.get([f"canaries/{rotation_id}"])[f"canaries/{rotation_id}"].data or {}
    assert len(data["instances"]) == 12  # type: ignore[arg-type]  # a list


def test_too_many_requests_are_rate_limited(world: World) -> None:
    world.found()
    address = {"REMOTE_ADDR": "203.0.113.9"}
    body = json.dumps({"client_id": CLIENT}).encode()
    from tests.world import gateway

    statuses = set()
    for _ in range(510):
        statuses.add(
            gateway().open(f"{URL}/challenge", method="POST", data=body, environ_overrides=address).status_code
        )
    assert statuses == {200, 429}


def test_an_expired_rotation_leaves_the_old_secret_in_force(world: World) -> None:
    rotation_id, version_id, secret = begun(world)
    acknowledged(world, rotation_id)
    before = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
    world.clock.advance(days=1, minutes=1)
    world.sweep()
    assert rotation(world, rotation_id)["outcome"] == "expired"
    assert world.document(f"oauth2_clients/{CLIENT}")["current_version"] == before
    late = answered(world, secret, Canary(rotation_id, CLIENT, version_id, "web-1", nonce(world)))
    assert (late.json or {})["reason"] == "canary_refused"
