"""Enrolment with attested admins: the steps, and the users who are refused."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
from keyturn.domain.encodings import invite_id
from keyturn.ports.store import put
from keyturn.records.admin import MOST_DEVICES_OF_ADMIN, Admin, admin_path
from keyturn.records.codec import from_data, to_data

from tests.functions.attested import Person, admins, admitted, body, invite, refusal
from tests.use_cases.faults import Died, Wire
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from tests.world import World

pytestmark = pytest.mark.world(attested=True)


@pytest.fixture
def alice(world: World) -> Person:
    return admitted(world, "alice")


def members(world: World) -> list[str]:
    return [member["user"] for member in world.document(f"mls_groups/{GROUP}/roster/members")["members"]]


def audited(world: World) -> list[tuple[str, str]]:
    return [(entry["actor"], entry["action"]) for entry in world.audited()]


# --- the first admin -------------------------------------------------------------------------------------------------


def test_the_first_admin_needs_no_approval_and_proves_every_command(world: World) -> None:
    made = invite(world, "alice")
    assert (made["approvals"], made["needed"], made["purpose"]) == (0, 0, "join")
    assert made["invite"] == invite_id(made["code"])
    alice = Person(world, "alice")
    assert body(alice.register(made["code"]))["user"] == "alice"
    assert body(alice.confirm(made["code"])) == {"user": "alice", "status": "active"}
    assert body(alice.join(made["code"]))["group"] == GROUP
    answer = world.send(alice.action("suspend", {}, CLIENT))
    assert (answer.status_code, body(answer)["status"]) == (200, "suspended")


def test_of_two_first_admins_one_is_first_and_approves_the_other(world: World) -> None:
    one, two = invite(world, "alice"), invite(world, "bob")
    assert (one["needed"], two["needed"]) == (0, 0)
    alice = Person(world, "alice").enrol(one["code"])
    bob = Person(world, "bob")
    assert refusal(bob.register(two["code"])) == (409, "awaits_approval")
    assert alice.approve(two["invite"], "bob").status_code == 200
    bob.enrol(two["code"])
    assert admins(world) == {"alice": "active", "bob": "active"}


def test_there_is_only_one_first_admin_even_when_no_admin_is_left(world: World, alice: Person) -> None:
    assert world.operator(f"/admins/{alice.user}/remove", {}).status_code == 200
    answer = world.operator("/invites", {"user": "mallory", "group_id": GROUP})
    assert refusal(answer) == (409, "no_approver")
    assert refusal(world.operator("/invites", {"user": "alice", "group_id": GROUP})) == (409, "no_approver")


def test_a_second_first_invite_is_void_once_an_admin_is_registered(world: World) -> None:
    one, two = invite(world, "alice"), invite(world, "mallory")
    Person(world, "alice").enrol(one["code"])
    mallory = Person(world, "mallory")
    for answer in (mallory.register(two["code"]), mallory.join(two["code"])):
        assert refusal(answer) == (409, "awaits_approval")


# --- the steps, and their order --------------------------------------------------------------------------------------


def test_steps_out_of_order_lead_nowhere(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    bob = Person(world, "bob", secret=pyotp.random_base32())
    assert refusal(bob.join(made["code"])) == (409, "awaits_approval")
    assert refusal(bob.confirm(made["code"])) == (409, "not_registered")
    alice.approve(made["invite"], "bob")
    assert refusal(bob.join(made["code"])) == (409, "not_registered")
    assert bob.register(made["code"]).status_code == 200
    assert refusal(bob.join(made["code"])) == (409, "not_registered")
    assert admins(world) == {"alice": "active"}
    assert bob.confirm(made["code"]).status_code == 200
    assert bob.join(made["code"]).status_code == 200
    assert members(world) == ["alice", "bob"]


def test_each_step_can_be_repeated(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    alice.approve(made["invite"], "bob")
    bob = Person(world, "bob")
    first = body(bob.register(made["code"]))["totp"]
    assert body(bob.register(made["code"]))["totp"] != first
    confirmed = bob.confirm(made["code"])
    before = world.dump()
    assert bob.confirm(made["code"], "000000").text == confirmed.text
    event = bob.offer()
    joined = bob.join(made["code"], event)
    assert bob.join(made["code"], event).text == joined.text
    assert world.dump() != before
    assert audited(world).count(("bob", "register_join")) == 1


def test_a_registration_is_audited_and_its_seed_is_nowhere_in_the_clear(world: World, alice: Person) -> None:
    assert [entry for entry in audited(world) if entry[1] not in {"create_group", "open_chain"}] == [
        ("operator", "invite"), ("alice", "register_join"), ("alice", "join"),
    ]  # fmt: skip
    seed = alice.secret
    assert seed.encode() not in world.dump()
    assert pyotp.TOTP(seed).byte_secret() not in world.dump()


def test_a_device_cannot_join_with_another_users_registration(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    alice.approve(made["invite"], "bob")
    bob = Person(world, "bob")
    bob.register(made["code"])
    bob.confirm(made["code"])
    assert refusal(bob.with_new_phone().join(made["code"])) == (409, "not_registered")
    assert refusal(bob.with_new_phone().confirm(made["code"])) == (409, "not_registered")


def test_a_registered_device_joins_a_further_group_without_another_registration(world: World, alice: Person) -> None:
    assert world.operator("/groups", {"group_id": "others"}).status_code == 200
    made = invite(world, "alice", group_id="others")
    assert refusal(alice.register(made["code"])) == (409, "already_registered")
    assert body(alice.join(made["code"]))["group"] == "others"


# --- who, which device, whose key ------------------------------------------------------------------------------------


def wrong_token(person: Person) -> dict[str, object]:
    return {"id_token": Person(person.world, "mallory").id_token()}


def stale_challenge(person: Person) -> dict[str, object]:
    challenge = person.challenge()
    person.world.clock.advance(seconds=121)
    return {"challenge": challenge}


def other_device(person: Person, **changes: object) -> dict[str, object]:
    forged = replace(person, device=person.with_new_phone().device).registration("another code")["device"]
    return {"device": {**forged, **changes}}  # type: ignore[dict-item]  # an object


ATTACKS: dict[str, Any] = {
    "somebody else's ID token": (wrong_token, (401, "proof_refused"), ["identity"]),
    "no ID token": (lambda _: {"id_token": ""}, (401, "proof_refused"), ["identity"]),
    "evidence for another invite": (other_device, (401, "proof_refused"), ["device"]),
    "kind that does not count": (lambda p: other_device(p, kind="app_attest"), (401, "proof_refused"), ["device"]),
    "kind of device that there is not": (lambda p: other_device(p, kind="wish"), (401, "proof_refused"), ["device"]),
    "no evidence": (lambda _: {"device": {"kind": "dev_attest"}}, (401, "proof_refused"), ["device"]),
    "neither": (lambda _: {"id_token": "x", "device": {"kind": "x"}}, (401, "proof_refused"), ["identity", "device"]),
    "challenge that has ended": (stale_challenge, (401, "challenge_refused"), None),
    "forged challenge": (lambda _: {"challenge": "A" * 75}, (401, "challenge_refused"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_registration_is_refused_with_the_reason_in_the_evidence_only(world: World, name: str) -> None:
    make, told, missing = ATTACKS[name]
    made = invite(world, "alice")
    alice = Person(world, "alice")
    assert refusal(alice.register(made["code"], **make(alice))) == told
    kept = [entry for path, (_, data) in world.documents(world.usage).items() if path.startswith("refusals/")
            for entry in data["entries"]]  # type: ignore[index]  # fmt: skip # documents
    assert [(entry["user"], list(entry["missing"])) for entry in kept] == ([("alice", missing)] if missing else [])
    assert alice.register(made["code"]).status_code == 200


def test_a_challenge_registers_once(world: World) -> None:
    made = invite(world, "alice")
    alice = Person(world, "alice")
    challenge = alice.challenge()
    assert alice.register(made["code"], challenge=challenge).status_code == 200
    assert refusal(alice.register(made["code"], challenge=challenge)) == (401, "challenge_refused")


def test_possession_is_bound_to_this_very_request(world: World) -> None:
    made = invite(world, "alice")
    alice = Person(world, "alice")
    sent = alice.registration(made["code"])
    path = "/enrol/registration"
    assert refusal(alice.signed(path, sent, url="https://other.example/enrol/registration"))[0] == 401
    assert refusal(alice.signed(path, sent, body=b"{}"))[0] == 401
    assert refusal(alice.signed(path, sent, key=os.urandom(32))) == (401, "proof_refused")
    assert refusal(world.call("POST", path, b"{}")) == (401, "not_signed")


def test_a_key_or_identity_of_another_user_is_refused(world: World, alice: Person) -> None:
    made = invite(world, "bob")
    alice.approve(made["invite"], "bob")
    thief = replace(Person(world, "bob"), private_key=alice.private_key)
    assert refusal(thief.register(made["code"])) == (409, "npub_taken")
    answer = world.operator("/invites", {"user": "carol", "group_id": GROUP, "subject": "alice"})
    assert refusal(answer) == (409, "subject_taken")


def test_an_unknown_code_says_nothing_and_neither_does_one_that_ended(world: World) -> None:
    made = invite(world, "alice")
    alice = Person(world, "alice")
    assert refusal(alice.register("no such code")) == (403, "bad_invite")
    world.clock.advance(hours=24)
    assert refusal(alice.register(made["code"])) == (403, "bad_invite")


def test_five_wrong_codes_end_an_invite(world: World) -> None:
    made = invite(world, "alice")
    alice = Person(world, "alice")
    alice.register(made["code"])
    for _ in range(5):
        assert refusal(alice.confirm(made["code"], "000000")) == (401, "proof_refused")
    assert refusal(alice.confirm(made["code"])) == (403, "bad_invite")
    assert refusal(alice.register(made["code"])) == (403, "bad_invite")
    assert admins(world) == {}


@pytest.mark.world("alice")
def test_a_deployment_that_asked_for_no_proofs_registers_its_members_where_they_are(world: World) -> None:
    member = world.admins["alice"]
    secret = world.issue("alice", "alice")
    world.attested = True
    world.serve(world.policy)
    alice = Person(world, "alice", private_key=member.signer.private_key)
    assert refusal(world.send(member.action("suspend"))) == (401, "proof_refused")
    alice.enrol(invite(world, "alice")["code"])
    assert members(world) == ["alice"]
    assert world.check(secret)["accepted"]
    assert world.send(alice.action("suspend", {}, CLIENT)).status_code == 200


def test_a_locked_admin_confirms_no_further_device_meanwhile(world: World, alice: Person) -> None:
    made = invite(world, "alice", purpose="device")
    for _ in range(3):
        assert refusal(alice.prove("A" * 43, totp="000000")) == (401, "proof_refused")
    phone = alice.with_new_phone()
    assert phone.register(made["code"]).status_code == 200
    locked = phone.confirm(made["code"])
    assert (refusal(locked), locked.headers["Retry-After"]) == ((429, "locked"), "30")
    world.clock.advance(minutes=1)
    assert phone.confirm(made["code"]).status_code == 200


# --- further devices, new TOTPs --------------------------------------------------------------------------------------


def test_a_new_phone_goes_on_with_the_same_authenticator(world: World, alice: Person) -> None:
    made = invite(world, "alice", purpose="device")
    phone = alice.with_new_phone()
    assert body(phone.register(made["code"])) == {"user": "alice", "purpose": "device", "totp": None}
    assert refusal(phone.confirm(made["code"])) == (401, "proof_refused")  # that code was used, at the enrolment
    assert phone.confirm(made["code"], phone.fresh_code()).status_code == 200
    assert phone.join(made["code"]).status_code == 200
    for device in (phone, alice):
        assert device.prove("A" * 43).status_code == 200


def fill_devices(world: World, user: str) -> None:
    """Give an admin further devices, up to the most."""
    document = world.auth.inner.get([admin_path(user)])[admin_path(user)]
    admin = from_data(Admin, document.fields)
    for number in range(MOST_DEVICES_OF_ADMIN - len(admin.devices)):
        admin = admin.with_device(replace(admin.devices[0], npub=f"{number:064x}"))
    world.auth.inner.commit([put(document, to_data(admin))])


def test_an_admin_with_the_most_devices_gets_no_further_one(world: World, alice: Person) -> None:
    made = invite(world, "alice", purpose="device")
    phone = alice.with_new_phone()
    assert phone.register(made["code"]).status_code == 200
    fill_devices(world, "alice")
    asked = {"user": "alice", "group_id": GROUP, "purpose": "device"}
    assert refusal(world.operator("/invites", asked)) == (409, "too_many_devices")
    assert refusal(phone.confirm(made["code"], phone.fresh_code())) == (409, "too_many_devices")
    # An invite that revokes a device makes room for its successor.
    assert world.operator("/invites", {**asked, "revoke": [alice.npub]}).status_code == 200


def test_a_lost_device_is_out_at_once(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    world.pump()
    made = invite(world, "bob", purpose="device", revoke=[bob.npub])
    assert made["revoked"]["devices"] == [bob.npub]
    assert members(world) == ["alice"]
    assert refusal(bob.prove("A" * 43)) == (401, "proof_refused")
    assert refusal(bob.come_back()) == (403, "not_in_group")
    again = world.operator("/invites", {"user": "bob", "group_id": GROUP, "purpose": "device", "revoke": [bob.npub]})
    assert again.status_code == 200
    phone = bob.with_new_phone()
    assert alice.approve(made["invite"], "bob", "device").status_code == 200
    assert phone.register(made["code"]).status_code == 200
    assert phone.confirm(made["code"], phone.fresh_code()).status_code == 200
    assert phone.join(made["code"]).status_code == 200
    assert members(world) == ["alice", "bob"]


def test_only_ones_own_devices_are_revoked(world: World, alice: Person) -> None:
    admitted(world, "bob", alice)
    asked = {"user": "bob", "group_id": GROUP, "purpose": "device", "revoke": [alice.npub]}
    assert refusal(world.operator("/invites", asked)) == (404, "unknown_device")
    assert refusal(world.operator("/invites", {**asked, "purpose": "join"})) == (400, "bad_field")


def test_a_lost_totp_is_replaced_with_the_device_that_is_registered(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    made = invite(world, "bob", purpose="totp")
    alice.approve(made["invite"], "bob", "totp")
    old = bob.secret
    assert refusal(bob.with_new_phone().register(made["code"])) == (401, "proof_refused")
    assert bob.register(made["code"]).status_code == 200
    assert bob.confirm(made["code"]).status_code == 200
    assert bob.secret != old
    assert world.send(bob.action("suspend", {}, CLIENT)).status_code == 200
    assert refusal(replace(bob, secret=old).prove("A" * 43)) == (401, "proof_refused")
    assert refusal(bob.join(made["code"])) == (409, "not_registered")


def test_until_the_new_totp_is_confirmed_the_old_one_counts(world: World, alice: Person) -> None:
    made = invite(world, "alice", purpose="totp")
    old = alice.secret
    assert alice.register(made["code"]).status_code == 200
    assert replace(alice, secret=old).prove("A" * 43).status_code == 200


def test_an_unknown_user_gets_no_device_or_totp_invite(world: World, alice: Person) -> None:
    for purpose in ("device", "totp"):
        answer = world.operator("/invites", {"user": "bob", "group_id": GROUP, "purpose": purpose})
        assert refusal(answer) == (404, "unknown_admin")
    answer = world.operator("/invites", {"user": alice.user, "group_id": GROUP, "purpose": "resume"})
    assert refusal(answer) == (400, "unknown_purpose")


def test_of_two_registered_before_there_was_anybody_one_becomes_the_first(world: World) -> None:
    people = {name: Person(world, name) for name in ("alice", "mallory")}
    codes = {name: invite(world, name)["code"] for name in people}
    assert [people[name].register(codes[name]).status_code for name in people] == [200, 200]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: people[name].confirm(codes[name]), people))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(admins(world)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("database", ["control", "auth"])
def test_cut_short_around_a_commit_the_same_confirmation_goes_on(
    world: World,
    database: str,
    after: bool,  # noqa: FBT001 - a case
) -> None:
    made = invite(world, "alice")
    alice = Person(world, "alice")
    alice.register(made["code"])
    calls = Wire()
    suite = world.new_suite(**{database: calls.port(getattr(world, database))})
    register = suite.enrolment.register
    calls.calls.clear()
    calls.at, calls.after = {"control": 1, "auth": 2}[database], after
    with pytest.raises(Died):
        register.confirm(made["code"], alice.npub, alice.code())
    assert calls.calls[-1] == "WatchedStore.commit"
    assert body(alice.confirm(made["code"])) == {"user": "alice", "status": "active"}
    assert audited(world).count(("alice", "register_join")) == 1


def test_a_device_that_was_revoked_confirms_no_new_totp(world: World, alice: Person) -> None:
    bob = admitted(world, "bob", alice)
    kept = bob.secret
    made = invite(world, "bob", purpose="totp")
    alice.approve(made["invite"], "bob", "totp")
    assert bob.register(made["code"]).status_code == 200
    invite(world, "bob", purpose="device", revoke=[bob.npub])
    assert refusal(bob.confirm(made["code"])) == (409, "not_registered")
    assert bob.secret != kept
    assert admins(world)["bob"] == "active"
