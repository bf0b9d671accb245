"""Commands inside MLS: the group is saved before a byte leaves, a resend is the same bytes, and each counts once."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.device.core.errors import ServerRefusedError, UnreachableError
from keyturn.device.groups.inbox import INBOX, Notice
from keyturn.device.groups.membership import LostReason, Memberships
from keyturn.device.groups.outbox import OUTGOING, OutgoingCommand
from keyturn.device.home.home import Home
from keyturn.domain.encodings import base64url_decode

from tests.device.groups.broken_network import DeadLine, over

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.device import Device
    from keyturn.device.home.sealed_files import HomeState

    from tests.service import Service
    from tests.world import Clock

ROTATION = "01JNM0000000000000000000A1"


def stored_commands(folder: Path) -> dict[str, OutgoingCommand]:
    home = Home.open(folder / "alice", "passphrase")
    return {name: OutgoingCommand.from_bytes(home.load(OUTGOING, name) or b"") for name in home.ids(OUTGOING)}


class Power:
    """What a home's writing needs: it fails after so many writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes_left: int | None = None
        write = Home._write

        def written(home: Home, state: HomeState) -> None:
            if self.writes_left == 0:
                raise KeyboardInterrupt
            write(home, state)
            if self.writes_left is not None:
                self.writes_left -= 1

        monkeypatch.setattr(Home, "_write", written)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_an_ack_killed_between_any_two_writes_ends_well_when_done_again(
    alice: Device, server: Service, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    line = DeadLine(server, arrives=True)
    line.cut = False
    power = Power(monkeypatch)
    power.writes_left = writes
    with suppress(KeyboardInterrupt):
        over(line, tmp_path, clock).ack(ROTATION)
    power.writes_left = None
    acked = alice.notice(ROTATION).acked_at is not None
    assert bool(stored_commands(tmp_path)) is (writes == 1)
    assert acked is (writes == 2)

    answer = over(line, tmp_path, clock).ack(ROTATION)
    assert (answer["acks"], answer["outcome"]) == (1, "promoted")
    assert len(server.rotations[ROTATION]["acks"]) == 1
    assert alice.notice(ROTATION).acked_at is not None
    assert stored_commands(tmp_path) == {}


def forget_the_ack(folder: Path) -> None:
    """As a device of an earlier version did that was killed after the answer: command gone, ack not noted."""
    home = Home.open(folder / "alice", "passphrase")
    notice = Notice.from_bytes(home.load(INBOX, ROTATION) or b"")
    home.save(INBOX, ROTATION, replace(notice, acked_at=None).to_bytes())


@pytest.mark.parametrize(("quorum", "outcome"), [(1, "promoted"), (2, None)])
def test_an_ack_that_the_server_has_is_as_good_as_a_new_one(
    alice: Device,
    bob: Device,
    new_device: Callable[[str], Device],
    server: Service,
    clock: Clock,
    tmp_path: Path,
    quorum: int,
    outcome: str | None,
) -> None:
    new_device("carol").join(server.invite("carol", "ops"))
    server.set_policy("acme", quorum=quorum)
    bob.rotate("acme", "routine", rotation_id=ROTATION)
    first = alice.ack(ROTATION)
    forget_the_ack(tmp_path)
    clock.advance(seconds=5)  # what is signed now is another event
    assert alice.ack(ROTATION) == first
    assert first["outcome"] == outcome
    assert alice.notice(ROTATION).acked_at is not None


def test_an_ack_that_came_too_late_is_refused(alice: Device, bob: Device, tmp_path: Path) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    bob.ack(ROTATION)
    with pytest.raises(ServerRefusedError) as refused:
        alice.ack(ROTATION)
    assert refused.value.reason == "rotation_not_open"
    assert alice.notice(ROTATION).acked_at is None
    assert stored_commands(tmp_path) == {}


def test_a_refused_ack_of_a_removed_member_stays_refused(alice: Device, bob: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    bob.ack(ROTATION)
    server.closed.add("rotations")
    with pytest.raises(ServerRefusedError) as refused:
        alice.ack(ROTATION)
    assert refused.value.reason == "rotation_not_open"


def test_what_is_sent_shows_neither_sender_nor_command(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.ack(ROTATION)
    assert len(server.envelopes) == 2
    events = [json.loads(envelope) for envelope in server.envelopes]
    assert {event["kind"] for event in events} == {445}
    assert [event["tags"] for event in events] == [[["h", "ops"]]] * 2
    outer = {event["pubkey"] for event in events}
    assert len(outer) == 2
    assert outer.isdisjoint(server.groups["ops"].users)
    assert all("acme" not in envelope for envelope in server.envelopes)
    assert [command.kind for command in server.commands] == [40901, 40902]


def test_lengths_reveal_little(alice: Device, server: Service) -> None:
    lengths = set()
    server.add_client("acne", ["ops"])
    for client_id, reason in (("acme", "a"), ("acne", "a somewhat longer reason")):
        alice.command("suspend", client_id, {}, reason)
        lengths.add(len(base64url_decode(json.loads(server.envelopes[-1])["content"])))
    assert len(lengths) == 1


def test_without_a_membership_an_ack_is_sent_in_clear(
    alice: Device, server: Service, new_device: Callable[[str], Device]
) -> None:
    assert new_device("bob").join(server.invite("bob", "ops"))
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    server.remove_leaf("ops", server.commands[0].pubkey)
    alice.catch_up()
    server.envelopes.clear()
    assert alice.ack(ROTATION)["acks"] == 1


@pytest.mark.parametrize("arrives", [False, True])
def test_a_crash_before_the_answer_resends_the_same_bytes(
    alice: Device, server: Service, clock: Clock, tmp_path: Path, *, arrives: bool
) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    line = DeadLine(server, arrives=arrives)
    with pytest.raises(UnreachableError):
        over(line, tmp_path, clock).ack(ROTATION)
    (command,) = stored_commands(tmp_path).values()
    assert set(line.sent) == {command.envelope.encode()}

    line.cut = False
    clock.advance(seconds=5)
    came_before = len(server.envelopes)
    answer = over(line, tmp_path, clock).ack(ROTATION)
    assert server.envelopes[came_before] == command.envelope
    assert (answer["acks"], answer["outcome"]) == (1, "promoted")
    assert len(server.rotations[ROTATION]["acks"]) == 1
    assert stored_commands(tmp_path) == {}


@pytest.mark.parametrize("arrives", [False, True])
def test_command_that_is_run_again_soon_is_the_same_command(
    alice: Device, server: Service, clock: Clock, tmp_path: Path, *, arrives: bool
) -> None:
    alice.catch_up()
    line = DeadLine(server, arrives=arrives)
    with pytest.raises(UnreachableError):
        over(line, tmp_path, clock).command("suspend", "acme", {}, "an incident")
    (command,) = stored_commands(tmp_path).values()

    line.cut = False
    clock.advance(seconds=5)
    came_before = len(server.envelopes)
    answer = over(line, tmp_path, clock).command("suspend", "acme", {}, "an incident")
    assert answer["status"] == "suspended"
    assert server.envelopes[came_before] == command.envelope
    assert stored_commands(tmp_path) == {}


@pytest.mark.parametrize(("reason", "minutes"), [("another incident", 0), ("an incident", 11)])
def test_other_command_and_later_one_are_commands_of_their_own(
    alice: Device, server: Service, clock: Clock, tmp_path: Path, reason: str, minutes: int
) -> None:
    alice.catch_up()
    line = DeadLine(server, arrives=False)
    with pytest.raises(UnreachableError):
        over(line, tmp_path, clock).command("suspend", "acme", {}, "an incident")
    (command,) = stored_commands(tmp_path).values()
    line.cut = False
    clock.advance(minutes=minutes)
    over(line, tmp_path, clock).command("suspend", "acme", {}, reason)
    assert command.envelope not in server.envelopes


def test_the_sending_key_of_a_command_is_deleted_from_the_saved_state(
    alice: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    line = DeadLine(server, arrives=False)
    device = over(line, tmp_path, clock)
    server.add_client("acne", ["ops"])
    for client_id in ("acme", "acne"):
        with pytest.raises(UnreachableError):
            device.command("suspend", client_id, {}, "incident")
    commands = list(stored_commands(tmp_path).values())
    line.cut = False
    for command in commands:  # two generations: the service opens both
        assert device.context.api.post_envelope(command.envelope)["action"] == "suspend"
    assert alice.memberships()


def test_a_command_that_never_arrived_in_time_is_signed_again(
    alice: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    line = DeadLine(server, arrives=False)
    with pytest.raises(UnreachableError):
        over(line, tmp_path, clock).ack(ROTATION)
    line.cut = False
    clock.advance(minutes=5)
    assert over(line, tmp_path, clock).ack(ROTATION)["acks"] == 1


def test_after_a_stale_epoch_the_device_catches_up_and_sends_the_command_again(alice: Device, server: Service) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    for _ in range(5):
        server.update("ops")
    server.envelopes.clear()
    assert alice.ack(ROTATION)["acks"] == 1
    assert len(server.envelopes) == 2
    assert alice.memberships()[0].group.epoch == server.groups["ops"].mls.epoch


def test_a_group_that_runs_away_is_followed_so_often_and_no_more(alice: Device, server: Service) -> None:
    alice.catch_up()

    def ran_away() -> None:
        for _ in range(5):
            server.update("ops")

    server.before_envelope = [ran_away] * 10
    with pytest.raises(ServerRefusedError) as refused:
        alice.command("suspend", "acme", {}, "incident")
    assert refused.value.reason == "stale_epoch"
    assert len(server.envelopes) == 4


def test_a_service_that_went_elsewhere_is_joined_there(alice: Device, server: Service) -> None:
    server.update("ops")
    alice.catch_up()
    behind = server.groups["ops"].mls
    for _ in range(5):
        server.update("ops")
    for _ in range(5):  # the log that is left says nothing of where the service is now
        del server.groups["ops"].log[-1]
    assert behind.epoch < server.groups["ops"].mls.epoch
    assert alice.command("suspend", "acme", {}, "incident")["action"] == "suspend"
    assert alice.memberships()[0].group.epoch == server.groups["ops"].mls.epoch


def test_a_refused_command_is_not_kept(alice: Device, tmp_path: Path) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    with pytest.raises(ServerRefusedError, match="active"):
        alice.rotate("acme", "routine, and too soon")
    assert stored_commands(tmp_path) == {}


def test_no_envelope_is_in_the_repr_of_a_command(alice: Device, server: Service, clock: Clock, tmp_path: Path) -> None:
    assert alice.memberships()
    with pytest.raises(UnreachableError):
        over(DeadLine(server, arrives=False), tmp_path, clock).command("suspend", "acme", {}, "incident")
    (command,) = stored_commands(tmp_path).values()
    assert command.envelope not in repr(command)


def test_expired_commands_are_deleted(alice: Device, server: Service, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        over(DeadLine(server, arrives=False), tmp_path, clock).command("suspend", "acme", {}, "incident")
    clock.advance(hours=23)
    alice.catch_up()
    assert len(stored_commands(tmp_path)) == 1
    clock.advance(hours=2)
    alice.catch_up()
    assert stored_commands(tmp_path) == {}


@pytest.mark.parametrize("readmits", [True, False])
def test_an_ack_of_a_lost_membership_rejoins_first_or_is_sent_in_clear(
    alice: Device, server: Service, *, readmits: bool
) -> None:
    alice.rotate("acme", "routine", rotation_id=ROTATION)
    alice.catch_up()
    Memberships(alice.context.home).mark_lost("ops", LostReason.OUT_OF_SYNC)
    server.readmits = readmits
    assert alice.ack(ROTATION)["acks"] == 1
    assert len(server.envelopes) == 1 + readmits
    assert alice.memberships()[0].is_usable is readmits
