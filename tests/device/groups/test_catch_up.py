"""Who comes and goes is checked and told; a device that can't follow comes back by itself, once, and says so."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.core.errors import DeviceError, MembershipError, ServerRefusedError
from keyturn.device.core.signed_events import EventSigner, key_package_event
from keyturn.device.device import Device
from keyturn.device.groups.join import Enrolment
from keyturn.device.groups.membership import LostReason
from keyturn.device.home.home import Home
from keyturn.proofs.npub import encode_npub

from tests.world import CHEAP, URL, Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.groups.membership import DeviceMembership
    from keyturn.device.incidents import Incident

    from tests.service import Service

ROTATION = "01JNM0000000000000000000A1"


class Watched:
    """Alice's device, opened anew, and what it tells."""

    def __init__(self, folder: Path, server: Service, clock: Clock, witnesses: Path | None = None) -> None:
        self.incidents: list[Incident] = []
        self.home = Home.open(folder, "passphrase", counter_folder=witnesses)
        self.device = Device.open(
            self.home,
            URL,
            transport=server,
            now=clock,
            sleep=lambda _seconds: None,
            observe=self.incidents.append,
        )

    @property
    def told(self) -> list[str]:
        return [incident.sentence for incident in self.incidents]


@pytest.fixture
def watched(alice: Device, tmp_path: Path, server: Service, clock: Clock) -> Watched:
    assert alice.memberships()
    return Watched(tmp_path / "alice", server, clock)


def npub_of(server: Service, user: str, group: str = "ops") -> str:
    return next(key for key, name in server.groups[group].users.items() if name == user)


# --- who comes and goes


def test_every_join_and_removal_is_reported_by_name(
    watched: Watched, new_device: Callable[[str], Device], server: Service
) -> None:
    new_device("bob").join(server.invite("bob", "ops"))
    npub = npub_of(server, "bob")
    watched.device.catch_up()
    assert watched.told == [f"bob ({encode_npub(npub)}) joined."]
    assert not watched.incidents[0].is_fault
    server.remove("ops", npub)
    watched.device.catch_up()
    assert watched.told[1:] == [f"{encode_npub(npub)} was removed."]


def test_a_rejoined_device_is_reported_as_one_incident(
    watched: Watched, new_device: Callable[[str], Device], server: Service
) -> None:
    bob = new_device("bob")
    bob.join(server.invite("bob", "ops"))
    watched.device.catch_up()
    bob.rejoin("ops")
    watched.device.catch_up()
    assert watched.told[1:] == [f"bob ({encode_npub(npub_of(server, 'bob'))}) came back with new keys."]


@pytest.mark.parametrize("what", ["absent", "nothing", "another", "unsigned", "kind"])
def test_a_new_member_that_did_not_sign_for_its_leaf_is_refused(
    watched: Watched, new_device: Callable[[str], Device], server: Service, clock: Clock, what: str
) -> None:
    new_device("bob").join(server.invite("bob", "ops"))
    before = watched.device.memberships()[0].group.epoch
    entry = server.groups["ops"].log[-1]
    joined: dict[str, Any] = entry["joined"]
    another = new_device("carol")
    other = Enrolment(another.context)._fresh_key_package().key_package
    bobs = Home.open(watched.home._path.parent / "bob", "passphrase")
    signer = EventSigner(bobs.private_key(), clock, lambda size: b"\x07" * size)
    match what:
        case "absent":
            del entry["joined"]
        case "nothing":
            entry["joined"] = {}
        case "another":
            entry["joined"] = key_package_event(signer, other).to_dict()
        case "unsigned":
            entry["joined"] = {**joined, "sig": "00" * 64}
        case _:
            entry["joined"] = signer.sign(444, [], joined["content"]).to_dict()
    server.groups["ops"].log[-1] = entry
    with pytest.raises(MembershipError):
        watched.device.catch_up()
    assert watched.device.memberships()[0].group.epoch == before


def test_ended_entries_keep_their_place(watched: Watched, server: Service) -> None:
    watched.device.rotate("acme", "routine", rotation_id=ROTATION)
    log = server.groups["ops"].log
    log[-1] = {"index": log[-1]["index"], "kind": "gone"}
    server.update("ops")
    assert watched.device.catch_up() == []
    assert watched.device.memberships()[0].cursor == len(log)
    assert watched.told == []


# --- coming back


def assert_back(watched: Watched, server: Service, sentences: int = 1) -> None:
    (seat,) = watched.device.memberships()
    assert seat.is_usable
    assert seat.group.epoch_authenticator == server.groups["ops"].mls.epoch_authenticator
    assert len([sentence for sentence in watched.told if "came back with new keys" in sentence]) == sentences


def test_an_absent_device_comes_back_and_keeps_its_inbox(watched: Watched, server: Service) -> None:
    watched.device.rotate("acme", "routine", rotation_id=ROTATION)
    watched.device.catch_up()
    server.remove("ops", npub_of(server, "alice"), for_good=False)
    watched.device.catch_up()
    assert_back(watched, server)
    assert watched.device.notice(ROTATION).secret == server.secrets[ROTATION]
    assert watched.device.ack(ROTATION)["acks"] == 1


def test_a_log_that_begins_too_late_brings_the_device_back(watched: Watched, server: Service) -> None:
    server.update("ops")
    server.update("ops")
    del server.groups["ops"].log[1]
    watched.device.catch_up()
    assert_back(watched, server)


def test_a_recreated_group_is_joined_again(watched: Watched, server: Service) -> None:
    for _ in range(3):
        server.update("ops")
    watched.device.catch_up()
    server.create_groups_again()
    watched.device.catch_up()
    assert_back(watched, server)


def test_an_own_removal_in_the_log_is_followed_by_coming_back(watched: Watched, server: Service) -> None:
    server.remove_leaf("ops", npub_of(server, "alice"))
    watched.device.catch_up()
    assert_back(watched, server)


def test_coming_back_cut_short_goes_on_with_the_same_key_package(
    watched: Watched, server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.remove("ops", npub_of(server, "alice"), for_good=False)
    places = len(server.groups["ops"].log)

    def dies(_enrolment: Enrolment, _seat: DeviceMembership) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Enrolment, "_check_same_service", dies)
        with pytest.raises(KeyboardInterrupt):
            watched.device.catch_up()
    watched.device.catch_up()
    assert_back(watched, server)
    assert len(server.groups["ops"].log) == places + 1


def test_a_permanent_removal_is_reported_once_and_ends_all_requests(watched: Watched, server: Service) -> None:
    server.remove("ops", npub_of(server, "alice"))
    assert watched.device.catch_up() == []
    assert watched.told == ["This device was removed from the group."]
    assert watched.device.memberships()[0].lost_reason is LostReason.REMOVED
    server.calls.clear()
    watched.device.catch_up()
    assert server.calls == []


def test_after_a_new_invite_a_removed_device_is_a_member_again(watched: Watched, server: Service) -> None:
    server.remove("ops", npub_of(server, "alice"))
    watched.device.catch_up()
    watched.device.join(server.invite("alice", "ops"))
    watched.device.rotate("acme", "routine")
    assert len(watched.device.catch_up()) == 1


def test_a_membership_change_by_a_member_is_no_reason_to_come_back(
    watched: Watched, new_device: Callable[[str], Device], server: Service, clock: Clock
) -> None:
    bob = new_device("bob")
    bob.join(server.invite("bob", "ops"))
    watched.device.catch_up()
    commit = bob.memberships()[0].group.commit(random=bob.context.signer.random, now=clock(), remove=[1])
    server.append("ops", "commit", commit.message)
    with pytest.raises(MembershipError):
        watched.device.catch_up()
    assert not [call for call in server.calls[-3:] if call.url.endswith("/enrol/")]


# --- long logs


def test_progress_is_reported_in_epochs_while_a_long_log_is_read(watched: Watched, server: Service) -> None:
    server.page_size = 4
    for _ in range(10):
        server.update("ops")
    seen: list[tuple[str, int, int]] = []
    watched.device.catch_up(lambda *progress: seen.append(progress))
    assert seen == [("ops", 5, 11), ("ops", 9, 11)]


# --- an older copy put back


@pytest.fixture
def at_home(tmp_path: Path, server: Service, clock: Clock) -> Watched:
    Home.create(tmp_path / "home", "laptop", "passphrase", cost=CHEAP, counter_folder=tmp_path / "state")
    watched = Watched(tmp_path / "home", server, clock, tmp_path / "state")
    watched.device.join(server.invite("alice", "ops"))
    return watched


def test_a_restored_older_copy_is_reported_and_its_keys_encrypt_nothing(
    at_home: Watched, server: Service, clock: Clock, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    at_home.device.rotate("acme", "routine", rotation_id=ROTATION)
    at_home.device.catch_up()
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "copy").rename(tmp_path / "home")

    restored = Watched(tmp_path / "home", server, clock, tmp_path / "state")
    assert "older copy" in restored.told[0]
    assert not restored.device.memberships()[0].is_usable
    envelopes = len(server.envelopes)
    restored.device.command("suspend", "acme", {}, "incident")
    assert_back(restored, server)
    assert len(server.envelopes) == envelopes + 1

    again = Watched(tmp_path / "home", server, clock, tmp_path / "state")
    again.device.catch_up()
    assert again.told == []


def test_an_older_copy_reads_what_it_still_can(at_home: Watched, server: Service, clock: Clock, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    at_home.device.rotate("acme", "routine", rotation_id=ROTATION)
    at_home.device.catch_up()
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "copy").rename(tmp_path / "home")
    restored = Watched(tmp_path / "home", server, clock, tmp_path / "state")
    assert [notice.rotation_id for notice in restored.device.catch_up()] == [ROTATION]
    assert_back(restored, server)


def test_a_home_that_moved_to_another_machine_is_no_older_copy(
    at_home: Watched, server: Service, clock: Clock, tmp_path: Path
) -> None:
    assert at_home.home.counter
    moved = Watched(tmp_path / "home", server, clock, tmp_path / "elsewhere")
    assert moved.told == []
    assert not moved.home.rolled_back


@pytest.mark.parametrize("line", [b"", b"99999 0000\n", b"\xff\xfe", b"99999"])
def test_a_forged_rollback_counter_counts_as_none(
    at_home: Watched, server: Service, clock: Clock, tmp_path: Path, line: bytes
) -> None:
    assert at_home.home.counter
    (witness,) = (tmp_path / "state").glob("device-*.counter")
    witness.write_bytes(line)
    again = Watched(tmp_path / "home", server, clock, tmp_path / "state")
    assert again.told == []


def test_changes_are_reported_even_if_another_group_can_not_be_reached(
    watched: Watched, new_device: Callable[[str], Device], server: Service
) -> None:
    server.create_group("zone")
    watched.device.join(server.invite("alice", "zone"))
    new_device("bob").join(server.invite("bob", "ops"))
    server.closed = {"zone"}
    with pytest.raises(ServerRefusedError):
        watched.device.catch_up()
    assert [sentence for sentence in watched.told if sentence.endswith("joined.")]


@pytest.mark.parametrize("key", [b"\x11" * 32, None])
def test_an_untrusted_welcome_is_refused_and_the_membership_stays_lost(
    watched: Watched, server: Service, key: bytes | None
) -> None:
    server.remove("ops", npub_of(server, "alice"), for_good=False)
    server.send_welcome(key=key, group=None if key else "other")
    with pytest.raises(DeviceError):
        watched.device.catch_up()
    server.rewrites.clear()
    assert "came back with new keys" not in " ".join(watched.told)
