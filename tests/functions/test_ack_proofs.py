"""Acknowledgements where the client's policy wants a proof with each: bound to that very notice, and used up by it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.core.signed_events import ack_event
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.proofs.request_digest import request_digest

from tests.functions.attested import Person, body, invite, refusal
from tests.world import CHEAP, CLIENT, GROUP, URL, WorldTransport

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event

    from tests.world import World

pytestmark = pytest.mark.world(founded=False, attested=True)

WANTED = {"require_ack_proofs": True}


@dataclass
class Acker:
    """An attested admin whose device reads the group's log."""

    person: Person
    device: Device
    rotation_id: str = ""

    @property
    def subject(self) -> dict[str, object]:
        notice = self.device.notice(self.rotation_id)
        return {name: getattr(notice, name) for name in ("version_id", "secret_hash", "mac_key_ref")}

    def digest(self, **changes: object) -> str:
        about = {"client_id": CLIENT, "group": "", "target": self.rotation_id, "reason": ""}
        return request_digest("ack", **about, params={**self.subject, **changes})

    def ack(self, proof: str) -> Event:
        notice = self.device.notice(self.rotation_id)
        signer = self.person.signer
        ack = notice.acknowledgement(signer.public_key, signer.now())
        return ack_event(signer, ack, notice.require_secret(), proof)

    def proof(self, digest: str = "") -> str:
        return self.person.proof(digest or self.digest(), group="", client_id=CLIENT)


def acker(world: World, policy: dict[str, bool]) -> Acker:
    """Have one admin enrolled, a client of this policy, and its first rotation sent."""
    world.found(policy={**policy, "minimum_not_before_seconds": 0})
    home = Home.create(world.folder / "home", "phone", "passphrase", cost=CHEAP)
    device = Device.open(home, URL, transport=WorldTransport(), now=world.clock, random=os.urandom)
    alice = Person(world, "alice", private_key=home.private_key())
    code = invite(world, "alice")["code"]
    assert alice.register(code).status_code == 200
    assert alice.confirm(code).status_code == 200
    device.join(code)
    event = alice.action("rotation", {"rotation_reason": "routine", "grace_duration_ms": 0}, CLIENT)
    answer = world.send(event)
    assert answer.status_code == 200, answer.text
    world.pump()
    device.catch_up()
    return Acker(alice, device, str(body(answer)["rotation_id"]))


def evidence(world: World) -> list[list[str]]:
    kept: Any = [data for path, (_, data) in world.documents(world.usage).items() if path.startswith("refusals/")]
    return [list(entry["missing"]) for data in kept for entry in data["entries"]]


def test_a_proof_for_the_notice_promotes_and_is_used_up(world: World) -> None:
    alice = acker(world, WANTED)
    shown = world.operator(f"/clients/{CLIENT}")
    assert body(shown)["policy"]["require_ack_proofs"] is True
    answer = world.send(alice.ack(alice.proof()))
    assert (answer.status_code, body(answer)["outcome"]) == (200, "promoted")
    assert len([path for path in world.documents() if path.startswith("proofs/")]) == 2


@pytest.mark.parametrize(
    ("proof", "missing"),
    [
        (lambda _: "", ["form"]),
        (lambda alice: alice.proof(alice.digest(secret_hash="A" * 43)), ["request"]),
        (lambda alice: alice.proof(alice.digest(version_id="01JNAAAAAAAAAAAAAAAAAAAAAA")), ["request"]),
        (lambda alice: alice.person.proof(alice.digest(), group="", client_id="another"), ["client"]),
        (lambda alice: alice.person.proof(alice.digest(), group=GROUP, client_id=CLIENT), ["group"]),
    ],
    ids=["none", "another secret", "another version", "another client", "bound to a group"],
)
def test_an_ack_is_refused(world: World, proof: Any, missing: list[str]) -> None:  # noqa: ANN401 - a function of an acker
    alice = acker(world, WANTED)
    assert refusal(world.send(alice.ack(proof(alice)))) == (401, "proof_refused")
    assert evidence(world) == [missing]
    assert world.send(alice.ack(alice.proof())).status_code == 200


def test_a_proof_serves_one_ack(world: World) -> None:
    alice = acker(world, WANTED)
    event = alice.ack(alice.proof())
    first = world.send(event)
    assert world.send(event).text == first.text
    world.clock.advance(seconds=1)
    again = alice.ack(json.loads(event.content)["jwt_proof"])
    assert refusal(world.send(again)) == (401, "proof_refused")


def test_where_policy_asks_for_none_an_ack_needs_none(world: World) -> None:
    alice = acker(world, {})
    assert world.send(alice.ack("")).status_code == 200
