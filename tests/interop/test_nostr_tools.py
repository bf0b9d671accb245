"""Nostr events and NIP-98 headers, ours and those of nostr-tools: each takes what the other signed."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.proofs.nip98 import sign_authorization

from tests.interop.driver import Driver, PeerRefused
from tests.world import CLIENT, URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.proofs.nostr import Event
    from werkzeug.test import TestResponse

    from tests.world import World

pytestmark = [pytest.mark.tier("node"), pytest.mark.world(founded=False)]
SIGNER = Path(__file__).with_name("signer.mjs")
REASONS = (
    "quarterly",
    'quotes " and \\ and /',
    "Grüße, 日本語, 🔑",
    "\u2028 \u2029 \u007f",
    "a\ttab\nand a line",
    "\b\f\r",
)


@pytest.fixture(scope="module")
def theirs(packages: None) -> Iterator[Driver]:  # noqa: ARG001 - wanted for what it does
    with Driver(shutil.which("node") or "node", SIGNER) as started:
        yield started


@pytest.fixture
def world(world: World, theirs: Driver) -> World:
    """Have nostr-tools hold Alice's key, too. The time is the machine's: nostr-tools reads no other."""
    world.clock.now = datetime.now(UTC)
    world.found("alice", "bob")
    alice = world.admins["alice"].signer
    assert theirs.ask("hold", "alice", key=alice.private_key.hex())["pubkey"] == alice.public_key
    return world


def signed_by_them(theirs: Driver, event: Event) -> bytes:
    """Return the event as nostr-tools signs and writes it."""
    tags = [list(tag) for tag in event.tags]
    about: dict[str, Any] = {"kind": event.kind, "tags": tags, "content": event.content, "at": event.created_at}
    return str(theirs.ask("sign", "alice", **about)["event"]).encode()


def reason_of(answer: TestResponse) -> tuple[int, str]:
    body: Any = answer.json
    return answer.status_code, str(body.get("reason", ""))


@pytest.mark.parametrize("reason", REASONS)
def test_their_event_is_a_request_for_a_rotation(world: World, theirs: Driver, reason: str) -> None:
    event = world.admins["alice"].rotation(reason=reason)
    answer = world.call("POST", "/rotate_request/", signed_by_them(theirs, event))
    assert (answer.status_code, reason_of(answer)[1]) == (200, "")
    body: Any = answer.json
    assert world.document(f"oauth2_rotations/{body['rotation_id']}")["reason"] == reason


def test_their_event_changed_afterwards_is_refused(world: World, theirs: Driver) -> None:
    event = json.loads(signed_by_them(theirs, world.admins["alice"].rotation()))
    changes: list[dict[str, object]] = [{"content": "{}"}, {"created_at": event["created_at"] - 1}, {"tags": []}]
    for change in changes:
        answer = world.call("POST", "/rotate_request/", json.dumps({**event, **change}).encode())
        assert reason_of(answer) == (401, "wrong_event_id")
    other = world.call("POST", "/rotate_request/", json.dumps({**event, "sig": "ab" * 64}).encode())
    assert reason_of(other) == (401, "bad_signature")


def test_their_header_opens_status_for_that_request_only(world: World, theirs: Driver) -> None:
    path = f"/status/clients/{CLIENT}"
    header = theirs.ask("header", "alice", url=f"{URL}{path}", method="GET", payload=None)["header"]
    assert world.call("GET", path, b"", {"Authorization": header}).status_code == 200
    elsewhere = world.call("GET", f"{path}?x=1", b"", {"Authorization": header})
    assert reason_of(elsewhere) == (401, "wrong_url")


def test_their_header_with_a_payload_is_for_that_body_only(world: World, theirs: Driver) -> None:
    path, payload = "/admin_proof/proof", {"challenge": "x", "note": "ü"}
    header = theirs.ask("header", "alice", url=f"{URL}{path}", method="POST", payload=payload)["header"]
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    taken = world.call("POST", path, body, {"Authorization": header})
    assert reason_of(taken) == (400, "bad_field")  # the door reads what is asked: who asks is settled
    changed = world.call("POST", path, body + b" ", {"Authorization": header})
    assert reason_of(changed) == (401, "wrong_payload")


def test_they_take_what_our_devices_and_the_service_sign(world: World, theirs: Driver) -> None:
    rotation_id = str((world.send(world.admins["alice"].rotation(reason=REASONS[2])).json or {})["rotation_id"])
    world.pump()
    alice = world.admins["alice"]
    ours = [alice.rotation(reason=reason) for reason in REASONS] + [alice.ack(rotation_id), alice.action("suspend")]
    said = [event.to_json() for event in ours]
    said += [str(data["event"]) for path, (_, data) in world.documents().items() if "/messages/" in path]  # type: ignore[index]  # a document
    assert len(said) > len(ours)
    assert [theirs.ask("verify", "alice", event=event)["valid"] for event in said] == [True] * len(said)
    forged = json.dumps({**json.loads(said[0]), "content": "{}"})
    assert theirs.ask("verify", "alice", event=forged)["valid"] is False


def test_they_take_our_header_for_that_request_only(world: World, theirs: Driver) -> None:
    url = f"{URL}/status/clients/{CLIENT}"
    key = world.admins["alice"].signer.private_key
    header = sign_authorization(key, url=url, method="GET", body=None, now=datetime.now(UTC), random=os.urandom)
    assert theirs.ask("admit", "alice", header=header, url=url, method="GET")["valid"] is True
    with pytest.raises(PeerRefused):
        theirs.ask("admit", "alice", header=header, url=f"{url}/x", method="GET")
