"""Attested admins at a real `keyturn up`: further devices, new authenticators, and people who are stopped and return.

Nobody gives more than three codes in a test: an authenticator has no more at a time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from keyturn.cli.operator_token import read_token
from keyturn.device.api import response_fields as answers
from keyturn.device.api.client import ApiClient
from keyturn.device.attestation.proof import ProofSubject
from keyturn.device.core.errors import ServerRefusedError
from keyturn.device.device import Device
from keyturn.device.groups.membership import LostReason
from keyturn.device.home.home import Home
from keyturn.local.demo.admins import DemoAdmin
from keyturn.local.demo.authenticator import MARGIN_SECONDS, Authenticator

from tests.local.real_machine import CHEAP, Machine
from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

GROUP = "ops"
NO_CODE = "000000"
"""What is given where a refusal must come before any code is looked at."""


@dataclass
class House:
    """A machine with one group and one client, and the people in front of it."""

    machine: Machine
    people: dict[str, DemoAdmin] = field(default_factory=dict)

    def operate(self, path: str, fields: Mapping[str, object] | None = None) -> Mapping[str, object]:
        token = read_token(self.machine.url, self.machine.environment)
        return ApiClient(self.machine.url).operator("POST", path, token, fields or {})

    def listed(self) -> dict[str, tuple[str, int]]:
        """Return the standing of each admin, and how many devices they have."""
        token = read_token(self.machine.url, self.machine.environment)
        admins = answers.mappings(ApiClient(self.machine.url).operator("GET", "/admins", token), "admins")
        return {str(item["user"]): (str(item["status"]), len(answers.mappings(item, "devices"))) for item in admins}

    def invite(self, user: str, approver: str | None, **more: object) -> str:
        invite = self.operate("/invites", {"user": user, "group_id": GROUP, **more})
        assert invite["needed"] == (0 if approver is None else 1)
        if approver is not None:
            purpose = str(more.get("purpose", "join"))
            approved = self.people[approver].device.approve(str(invite["invite"]), user, purpose)
            assert (approved["approvals"], approved["needed"]) == (1, 1)
        return str(invite["code"])

    def newcomer(self, user: str, device: str = "laptop") -> DemoAdmin:
        home = Home.create(self.machine.folder / "homes" / f"{user}-{device}", device, "passphrase", cost=CHEAP)
        person = DemoAdmin(user, home, self.machine.url, wait=a_moment)
        person.sign_in(str(self.operate("/id_tokens", {"user": user})["id_token"]))
        return person

    def enrol(self, user: str, approver: str | None = None) -> DemoAdmin:
        person = self.newcomer(user)
        person.join(self.invite(user, approver))
        self.people[user] = person
        return person

    def members(self, person: DemoAdmin) -> set[str]:
        return {str(item["user"]) for item in answers.mappings(person.device.group(GROUP), "members")}


def a_moment(seconds: float) -> None:
    """Wait for the next step's code where the step before ends so soon that its code was passed over."""
    assert seconds <= MARGIN_SECONDS, "a test that waits longer for an authenticator takes too many codes"
    time.sleep(seconds)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    machine = Machine(tmp_path, authoriser="attested_admin")
    machine.start()
    try:
        machine.wait_until_up()
        made = House(machine)
        made.operate("/groups", {"group_id": GROUP})
        made.operate("/clients", {"client_id": "acme", "groups": [GROUP]})
        yield made
    finally:
        machine.end()


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ServerRefusedError) as refused:
        act()
    return refused.value.reason


def proof_without_a_code(person: DemoAdmin) -> str:
    device = Device.open(person.home, person.url, ask_code=lambda: NO_CODE)
    return refusal(lambda: device._prover.proof(ProofSubject(digest="A" * 43, group=GROUP, client_id="acme")))


def test_a_new_authenticator_and_a_new_phone_with_anothers_approval_each(house: House) -> None:
    house.enrol("alice")
    bob = house.enrol("bob", approver="alice")
    code = house.invite("bob", "alice", purpose="totp")
    registered = bob.device.register(code)
    assert registered is not None
    assert registered.otpauth is not None
    assert registered.purpose == "totp"
    bob.authenticator = Authenticator(registered.otpauth, a_moment)
    assert bob.device.confirm(code, bob.code()) == {"user": "bob", "status": "active"}

    carol = house.enrol("carol", approver="bob")
    phone = house.newcomer("carol", "phone")
    phone.authenticator = carol.authenticator
    phone.join(house.invite("carol", "bob", purpose="device"))
    assert house.listed() == {"alice": ("active", 1), "bob": ("active", 1), "carol": ("active", 2)}
    assert phone.device.rotate("acme", "first issue")["client_id"] == "acme"


def test_a_registered_device_joins_a_further_group(house: House) -> None:
    alice = house.enrol("alice")
    house.operate("/groups", {"group_id": "others"})
    invite = house.operate("/invites", {"user": "alice", "group_id": "others"})
    assert invite["needed"] == 0
    alice.join(str(invite["code"]))
    assert [seat.group_id for seat in alice.device.memberships()] == [GROUP, "others"]


def test_nobody_registers_before_the_approval_and_the_first_admin_is_made_once(house: House) -> None:
    house.enrol("alice")
    bob = house.newcomer("bob")
    invite = house.operate("/invites", {"user": "bob", "group_id": GROUP})
    assert refusal(lambda: bob.device.register(str(invite["code"]))) == "awaits_approval"
    assert refusal(lambda: bob.device.join(str(invite["code"]))) == "awaits_approval"
    alice = house.people["alice"].device
    assert refusal(lambda: alice.approve(str(invite["invite"]), "mallory", "join")) == "invite_differs"
    assert house.listed() == {"alice": ("active", 1)}


def test_a_lost_device_proves_nothing_any_more(house: House) -> None:
    lost = house.enrol("alice")
    house.enrol("bob", approver="alice")
    phone = house.newcomer("alice", "phone")
    phone.authenticator = lost.authenticator
    phone.join(house.invite("alice", "bob", purpose="device", revoke=[lost.home.public_key]))
    assert house.listed()["alice"] == ("active", 1)
    assert proof_without_a_code(lost) == "proof_refused"
    assert lost.device.rejoin(GROUP).lost_reason is LostReason.REMOVED
    assert house.members(phone) == {"alice", "bob"}


def test_who_is_suspended_is_out_at_once_and_comes_back_when_another_admin_says_so(house: House) -> None:
    alice, bob = house.enrol("alice"), house.enrol("bob", approver="alice")
    assert bob.device.rotate("acme", "first issue")["client_id"] == "acme"
    gone = house.operate("/admins/bob/suspend")
    assert (gone["status"], gone["devices"]) == ("suspended", [bob.home.public_key])
    assert proof_without_a_code(bob) == "proof_refused"
    assert refusal(lambda: bob.device.rejoin(GROUP)) == "not_active"
    assert house.members(alice) == {"alice"}

    awaited = str(house.operate("/admins/bob/resume")["awaits_approval"])
    alice.device.approve(awaited, "bob", "resume")
    assert house.operate("/admins/bob/resume") == {"user": "bob", "status": "active", "awaits_approval": None}
    bob.device.catch_up()
    assert house.members(alice) == {"alice", "bob"}
    assert bob.device.rotate("acme", "and again", emergency=True)["client_id"] == "acme"


def test_who_is_removed_is_out_for_good(house: House) -> None:
    alice, bob = house.enrol("alice"), house.enrol("bob", approver="alice")
    assert house.operate("/admins/bob/remove")["status"] == "removed"
    assert house.members(alice) == {"alice"}
    assert proof_without_a_code(bob) == "proof_refused"
    assert bob.device.rejoin(GROUP).lost_reason is LostReason.REMOVED
    assert refusal(lambda: house.operate("/admins/bob/resume")) == "removed"


def test_an_acknowledgement_is_proven_where_the_clients_policy_says_so(house: House) -> None:
    house.operate(
        "/clients", {"client_id": "globex", "groups": [GROUP], "policy": {"quorum": 1, "require_ack_proofs": True}}
    )
    alice = house.enrol("alice")
    rotation_id = str(alice.device.rotate("globex", "first issue")["rotation_id"])
    until(lambda: alice.device.catch_up() or alice.device.inbox())
    acked = alice.device.ack(rotation_id)
    assert (acked["phase"], acked["outcome"]) == ("completed", "promoted")
    assert len(alice.recorder.proofs) == 2
