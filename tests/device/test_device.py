from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.device.core.errors import (
    AnotherServiceError,
    MembershipError,
    NoticeError,
    OutOfSyncError,
    ServerRefusedError,
    UnreachableError,
    UntrustedMessageError,
)
from keyturn.device.device import Device
from keyturn.device.groups.inbox import INBOX, Notice
from keyturn.device.groups.join import join_with_welcome
from keyturn.device.groups.membership import DeviceMembership
from keyturn.device.home.errors import DamagedError
from keyturn.device.home.home import Home
from keyturn.domain.encodings import base64url_decode, to_milliseconds
from keyturn.mls import Group, create_key_package
from keyturn.proofs.npub import encode_npub

from tests.service import Service
from tests.world import START, URL, Clock, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.incidents import Incident

ROTATION = "01JNM0000000000000000000A1"


def reopened(tmp_path: Path, server: Service, clock: Clock, incidents: list[Incident] | None = None) -> Device:
    home = Home.open(tmp_path / "alice", "passphrase")
    observe = (lambda _incident: None) if incidents is None else incidents.append
    return Device.open(home, URL, transport=server, now=clock, sleep=lambda _seconds: None, observe=observe)


def group_of(device: Device) -> Group:
    return device.memberships()[0].group


# --- joining


def test_a_device_joins_with_a_code(alice: Device, server: Service) -> None:
    (seat,) = alice.memberships()
    assert (seat.user, seat.group_id, seat.cursor) == ("alice", "ops", 1)
    assert seat.group.epoch_authenticator == server.groups["ops"].mls.epoch_authenticator


def test_the_members_of_a_membership_do_not_include_the_service(bob: Device, server: Service) -> None:
    assert set(bob.memberships()[0].npubs) == {encode_npub(pubkey) for pubkey in server.groups["ops"].users}


def test_an_enrolment_cut_short_goes_on_with_the_same_key_package(
    new_device: Callable[[str], Device], server: Service
) -> None:
    device, code = new_device("alice"), server.invite("alice", "ops")
    server.lose_answers = 3
    with pytest.raises(ServerRefusedError):
        device.join(code)
    assert device.join(code).user == "alice"
    assert len(server.groups["ops"].log) == 1


def test_an_unknown_code_is_refused_with_a_hint(new_device: Callable[[str], Device]) -> None:
    with pytest.raises(ServerRefusedError) as refused:
        new_device("alice").join("nonsense")
    assert refused.value.error == "unauthorized_request"
    assert refused.value.hint


def test_a_welcome_signed_by_no_member_is_refused(new_device: Callable[[str], Device], server: Service) -> None:
    device, code = new_device("alice"), server.invite("alice", "ops")
    server.send_welcome(key=b"\x11" * 32)
    with pytest.raises(AnotherServiceError):
        device.join(code)
    assert device.memberships() == []


def test_a_welcome_for_another_group_is_refused(new_device: Callable[[str], Device], server: Service) -> None:
    device, code = new_device("alice"), server.invite("alice", "ops")
    server.send_welcome(group="dev")
    with pytest.raises(UntrustedMessageError):
        device.join(code)


@pytest.mark.parametrize(
    "change",
    [
        {"group": "dev"},
        {"group": "../ops"},
        {"event": {}},
        {"event": None},
    ],
)
def test_an_offer_that_does_not_hold_together_is_refused(
    alice: Device, server: Service, clock: Clock, change: dict[str, object]
) -> None:
    answer = server.last_enrolment
    stranger = create_key_package(
        b"\x22" * 32,
        os.urandom(32),
        not_before=clock(),
        not_after=clock() + timedelta(days=1),
        random=os.urandom,
    )
    assert alice.memberships()
    with pytest.raises((UntrustedMessageError, UnreachableError)):
        join_with_welcome({**answer, **change}, stranger, clock())


def test_a_welcome_for_another_key_package_is_refused(alice: Device, server: Service, clock: Clock) -> None:
    answer = server.last_enrolment
    own = create_key_package(
        bytes.fromhex(next(iter(server.groups["ops"].users))),
        os.urandom(32),
        not_before=clock(),
        not_after=clock() + timedelta(days=1),
        random=os.urandom,
    )
    assert alice.memberships()
    with pytest.raises(UntrustedMessageError):
        join_with_welcome(answer, own, clock())


@pytest.mark.parametrize("index", ["", "one", "-1", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_welcome_without_a_place_in_the_log_is_refused(
    new_device: Callable[[str], Device], server: Service, index: str
) -> None:
    server.send_welcome(after=index)
    with pytest.raises(UntrustedMessageError):
        new_device("alice").join(server.invite("alice", "ops"))


@pytest.mark.parametrize("record", [b"", b"{}", b'{"user": "a", "service": "b", "cursor": 1, "state": "AAAA"}'])
def test_a_record_that_is_no_membership_or_notice_is_damage(record: bytes) -> None:
    with pytest.raises(DamagedError):
        DeviceMembership.from_bytes("ops", record)
    with pytest.raises(DamagedError):
        Notice.from_bytes(record)


def test_a_known_group_under_another_services_key_is_refused(alice: Device, server: Service, tmp_path: Path) -> None:
    assert server.groups["ops"].users
    (tmp_path / "other").mkdir()
    other = Service(World(tmp_path / "other"))  # from now on it answers at the same address
    other.create_group("ops")
    with pytest.raises(AnotherServiceError):
        alice.join(other.invite("alice", "ops"))


# --- reading


def test_a_notice_comes_in_with_its_secret(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    (notice,) = alice.catch_up()
    assert notice.secret == server.secrets[ROTATION]
    assert (notice.rotation_id, notice.client_id, notice.group) == (ROTATION, "acme", "ops")
    assert alice.catch_up() == []


def test_read_entries_survive_a_restart(alice: Device, server: Service, clock: Clock, tmp_path: Path) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    again = reopened(tmp_path, server, clock)
    assert again.notice(ROTATION).secret == server.secrets[ROTATION]
    assert again.catch_up() == []


def test_long_logs_are_read_page_by_page_and_in_order(alice: Device, bob: Device, server: Service) -> None:
    server.page_size = 2
    for number in range(3):
        server.add_client(f"client-{number}", ["ops"])
        bob.rotate(f"client-{number}", "routine")
    assert len(alice.catch_up()) == 3
    assert group_of(alice).epoch_authenticator == server.groups["ops"].mls.epoch_authenticator


def test_two_devices_get_the_same_secret(alice: Device, bob: Device) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    bob.catch_up()
    assert alice.notice(ROTATION).secret == bob.notice(ROTATION).secret


def test_a_client_of_two_groups_makes_one_notice(alice: Device, server: Service) -> None:
    server.create_group("dev")
    server.add_client("both", ["ops", "dev"])
    alice.join(server.invite("alice", "dev"))
    alice.rotate("both", "routine", rotation_id=ROTATION)
    assert len({notice.rotation_id for notice in alice.catch_up()}) == 1
    assert [notice.rotation_id for notice in alice.inbox()] == [ROTATION]


def test_a_second_notice_that_says_something_else_is_left_out(
    alice: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    kept = alice.notice(ROTATION)
    fields = json.loads(kept.to_bytes())
    server.notify("ops", {**fields, "secret": "another", "secret_hash": "A" * 43})
    incidents: list[Incident] = []
    assert reopened(tmp_path, server, clock, incidents).catch_up() == []
    assert len(incidents) == 1
    assert alice.notice(ROTATION) == kept


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "no id!"},
        {"rotation_id": "short"},
        {"version_id": 7},
        {"secret": None},
        {"secret": "two\nlines"},
        {"secret_hash": "AAAA"},
        {"not_before": True},
        {"grace_until": "never"},
        {"mac_key_ref": ""},
    ],
)
def test_a_message_that_is_no_notice_is_left_out(
    alice: Device, server: Service, clock: Clock, tmp_path: Path, change: dict[str, object]
) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    fields = {**json.loads(alice.notice(ROTATION).to_bytes()), "rotation_id": "01JNM0000000000000000000A2"}
    server.notify("ops", {**fields, **change})
    incidents: list[Incident] = []
    assert reopened(tmp_path, server, clock, incidents).catch_up() == []
    assert [incident.group_id for incident in incidents] == ["ops"]


def test_a_damaged_notice_is_left_out_and_the_next_one_read(
    alice: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    server.append("ops", "notice", b"\x00\x01\x00\x02nonsense")
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    incidents: list[Incident] = []
    assert len(reopened(tmp_path, server, clock, incidents).catch_up()) == 1
    assert incidents[0].index == 2


def test_a_commit_that_can_not_be_followed_stops_the_reading_and_can_be_tried_again(
    alice: Device, server: Service
) -> None:
    server.update("ops")
    whole = server.groups["ops"].log[-1]
    server.groups["ops"].log[-1] = {**whole, "event": server.sign(445, [["h", "ops"]], b"nonsense").to_dict()}
    server.readmits = False
    with pytest.raises(OutOfSyncError):
        alice.catch_up()
    server.groups["ops"].log[-1] = whole
    alice.catch_up()
    assert group_of(alice).epoch == server.groups["ops"].mls.epoch


def test_an_entry_of_another_signer_is_refused(alice: Device, server: Service) -> None:
    server.append("ops", "notice", b"whatever", key=b"\x11" * 32)
    with pytest.raises(AnotherServiceError):
        alice.catch_up()


@pytest.mark.parametrize("field", ["content", "tags", "kind", "sig", "id", "pubkey"])
def test_an_entry_whose_event_was_changed_is_refused(alice: Device, server: Service, field: str) -> None:
    server.update("ops")
    entry = server.groups["ops"].log[-1]
    changed = {"content": "AAAA", "tags": [["h", "dev"]], "kind": 444, "sig": "00" * 64, "id": "00" * 32}
    entry["event"][field] = {**changed, "pubkey": "00" * 32}[field]
    server.groups["ops"].log[-1] = entry
    with pytest.raises(UntrustedMessageError):
        alice.catch_up()


def test_an_entry_signed_for_another_group_is_refused(alice: Device, server: Service) -> None:
    event = server.sign(445, [["h", "dev"]], b"whatever")
    server.groups["ops"].log.append(event.to_dict(), "notice")
    with pytest.raises(UntrustedMessageError):
        alice.catch_up()


def test_an_entry_shown_twice_counts_once(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine")
    server.rewrites["/messages?"] = lambda page: {**page, "messages": [*page["messages"], page["messages"][-1]]}
    assert len(alice.catch_up()) == 1


def test_entries_before_a_bad_entry_count(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    server.append("ops", "notice", b"whatever", key=b"\x11" * 32)
    with pytest.raises(AnotherServiceError):
        alice.catch_up()
    assert alice.notice(ROTATION).secret == server.secrets[ROTATION]


def test_one_group_gone_wrong_does_not_keep_the_others_from_being_read(alice: Device, server: Service) -> None:
    server.create_group("dev")
    alice.join(server.invite("alice", "dev"))
    server.append("dev", "notice", b"whatever", key=b"\x11" * 32)
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    with pytest.raises(AnotherServiceError):
        alice.catch_up()
    assert alice.notice(ROTATION).client_id == "acme"


def test_one_group_closed_to_us_does_not_keep_the_others_from_being_read(alice: Device, server: Service) -> None:
    server.create_group("dev")
    alice.join(server.invite("alice", "dev"))
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    server.closed = {"dev"}
    with pytest.raises(ServerRefusedError):
        alice.catch_up()
    assert alice.notice(ROTATION).client_id == "acme"


# --- who may change the group


def test_a_members_own_path_update_is_followed(alice: Device, bob: Device, server: Service, clock: Clock) -> None:
    commit = group_of(bob).commit(random=os.urandom, now=clock())
    server.append("ops", "commit", commit.message)
    alice.catch_up()
    assert group_of(alice).epoch_authenticator == commit.group.epoch_authenticator


def test_a_members_removal_of_another_is_refused(
    alice: Device, bob: Device, new_device: Callable[[str], Device], server: Service, clock: Clock
) -> None:
    new_device("carol").join(server.invite("carol", "ops"))
    alice.catch_up()
    bob.catch_up()
    before = group_of(alice)
    commit = group_of(bob).commit(random=os.urandom, now=clock(), remove=[3])
    server.append("ops", "commit", commit.message)
    with pytest.raises(MembershipError):
        alice.catch_up()
    assert (group_of(alice).epoch, group_of(alice).members) == (before.epoch, before.members)


def test_a_members_removal_of_this_device_is_refused(alice: Device, bob: Device, server: Service, clock: Clock) -> None:
    alice.catch_up()
    leaf = group_of(alice).own_leaf_index
    commit = group_of(bob).commit(random=os.urandom, now=clock(), remove=[leaf])
    server.append("ops", "commit", commit.message)
    with pytest.raises(MembershipError):
        alice.catch_up()
    assert group_of(alice).is_active


def test_a_members_addition_is_refused(alice: Device, bob: Device, server: Service, clock: Clock) -> None:
    alice.catch_up()
    stranger = create_key_package(
        b"\x22" * 32,
        os.urandom(32),
        not_before=START - timedelta(hours=1),
        not_after=START + timedelta(days=1),
        random=os.urandom,
    )
    commit = group_of(bob).commit(random=os.urandom, now=clock(), add=[stranger.key_package])
    server.append("ops", "commit", commit.message)
    with pytest.raises(MembershipError):
        alice.catch_up()


def test_a_message_of_another_member_is_no_notice(
    alice: Device, bob: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    alice.catch_up()
    _, message = group_of(bob).encrypt(b'{"secret": "mine"}', random=os.urandom)
    server.append("ops", "notice", message)
    incidents: list[Incident] = []
    assert reopened(tmp_path, server, clock, incidents).catch_up() == []
    assert len(incidents) == 1


def test_a_removal_is_reported_and_ends_the_reading(
    alice: Device, bob: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    assert bob.memberships()
    pubkey = next(key for key, user in server.groups["ops"].users.items() if user == "alice")
    server.remove("ops", pubkey)
    bob.rotate("acme", "routine", rotation_id=ROTATION)
    incidents: list[Incident] = []
    assert reopened(tmp_path, server, clock, incidents).catch_up() == []
    assert [incident.sentence for incident in incidents] == ["This device was removed from the group."]
    with pytest.raises(ServerRefusedError, match="no such client"):
        alice.rotate("acme", "still here?")


# --- the inbox


def test_an_ack_proves_that_the_device_holds_the_secret(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    answer = alice.ack(ROTATION)
    assert (answer["phase"], answer["outcome"], answer["acks"]) == ("completed", "promoted", 1)
    assert server.rotations[ROTATION]["acks"][0]["user"] == "alice"


def test_a_secret_stays_until_it_is_both_delivered_and_acknowledged(alice: Device) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.ack(ROTATION)
    assert alice.notice(ROTATION).secret is not None
    alice.mark_delivered(ROTATION)
    assert alice.notice(ROTATION).secret is None


def test_a_delivered_secret_can_still_be_acknowledged(alice: Device) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    assert alice.mark_delivered(ROTATION).secret is not None
    alice.ack(ROTATION)
    assert alice.notice(ROTATION).secret is None


def test_a_second_ack_says_what_the_first_came_to_while_the_server_knows_it(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    alice.mark_delivered(ROTATION)
    assert alice.ack(ROTATION) == alice.ack(ROTATION)
    assert len(server.envelopes) == 2
    server.change(f"oauth2_rotations/{ROTATION}", acks=())
    with pytest.raises(NoticeError, match="acknowledged"):
        alice.ack(ROTATION)


def test_a_secret_is_delivered_once(alice: Device) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    assert alice.notice(ROTATION).undelivered_secret()
    alice.mark_delivered(ROTATION)
    with pytest.raises(NoticeError):
        alice.notice(ROTATION).undelivered_secret()


@pytest.mark.parametrize(("days", "grace_days", "left"), [(6, 0, 1), (8, 0, 0), (8, 10, 1), (11, 10, 0)])
def test_notices_go_after_grace_and_never_within_a_week(
    alice: Device, clock: Clock, days: int, grace_days: int, left: int
) -> None:
    alice.rotate("acme", "routine", grace=timedelta(days=grace_days))
    alice.catch_up()
    clock.advance(days=days)
    alice.catch_up()
    assert len(alice.inbox()) == left


def test_no_secret_is_in_a_notices_repr(alice: Device) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    (notice,) = alice.catch_up()
    assert notice.secret is not None
    assert notice.secret not in repr(notice)


def test_a_notice_comes_back_from_its_record(alice: Device) -> None:
    alice.rotate("acme", "routine")
    (notice,) = alice.catch_up()
    assert Notice.from_bytes(notice.to_bytes()) == notice


# --- asking


def test_without_options_the_clients_policy_decides(alice: Device, server: Service) -> None:
    server.add_client("short", ["ops"], grace_seconds=60)
    alice.rotate("short", "routine")
    content = json.loads(server.commands[-1].content)
    assert content["grace_duration_ms"] == 60_000
    assert "not_before" not in content
    assert content["mls_group"] == "ops"


def test_a_lead_is_requested_in_milliseconds(alice: Device, server: Service, clock: Clock) -> None:
    alice.rotate("acme", "routine", not_before=timedelta(minutes=15))
    content = json.loads(server.commands[-1].content)
    assert content["not_before"] == to_milliseconds(clock()) + 15 * 60_000


def test_a_client_of_no_group_of_this_device_is_refused_before_a_request(alice: Device, server: Service) -> None:
    server.create_group("dev")
    server.add_client("foreign", ["dev"])
    with pytest.raises(ServerRefusedError, match="no such client"):
        alice.rotate("foreign", "routine")
    assert server.commands == []


def test_a_lost_answer_is_asked_for_again_with_the_same_event(alice: Device, server: Service) -> None:
    wanted = alice.client("acme")["client_id"]
    server.lose_answers = 2
    alice.client("acme")
    answer = alice.rotate("acme", "routine", rotation_id=ROTATION)
    assert answer["client_id"] == wanted
    assert len(server.commands) == 1


def test_a_command_carries_its_reason(alice: Device, server: Service) -> None:
    answer = alice.command("suspend", "acme", {}, "incident 7")
    content = json.loads(server.commands[-1].content)
    assert (answer["action"], content["params"]) == ("suspend", {"reason": "incident 7"})


def test_an_ack_that_was_refused_is_not_noted(alice: Device) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    alice.context.home.save(INBOX, ROTATION, replace(alice.notice(ROTATION), secret="another").to_bytes())
    with pytest.raises(ServerRefusedError) as refused:
        alice.ack(ROTATION)
    assert refused.value.reason == "bad_receipt"
    assert alice.notice(ROTATION).acked_at is None


def test_messages_on_the_wire_are_mls(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine")
    entry = server.groups["ops"].log[-1]
    assert base64url_decode(entry["event"]["content"])[:2] == b"\x00\x01"  # RFC 9420 §6: mls10
    assert server.secrets.popitem()[1] not in json.dumps(entry)
