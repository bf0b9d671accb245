"""Path updates of a device's own: saved before they are sent, adopted when the log shows them, or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.device.core.errors import NotEnrolledError, OutOfSyncError, ServerRefusedError, UnreachableError
from keyturn.device.device import Device
from keyturn.device.home.home import Home

from tests.device.groups.broken_network import DeadLine, over
from tests.world import URL, Clock

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.device.incidents import Incident
    from keyturn.mls import Group

    from tests.service import Service


def group_of(device: Device) -> Group:
    return device.memberships()[0].group


def own_key(device: Device) -> bytes:
    group = group_of(device)
    return next(member.encryption_key for member in group.members if member.leaf_index == group.own_leaf_index)


def test_a_device_replaces_its_keys(alice: Device, bob: Device, server: Service) -> None:
    before = own_key(alice)
    seat = alice.refresh("ops")
    bob.catch_up()
    assert own_key(alice) != before
    assert seat.pending_update is None
    assert group_of(alice).epoch_authenticator == server.groups["ops"].mls.epoch_authenticator
    assert group_of(bob).epoch_authenticator == server.groups["ops"].mls.epoch_authenticator


@pytest.mark.parametrize("arrives", [False, True])
def test_a_crash_at_any_line_ends_with_the_keys_replaced_once(
    alice: Device, server: Service, clock: Clock, tmp_path: Path, *, arrives: bool
) -> None:
    before, epoch = own_key(alice), group_of(alice).epoch
    line = DeadLine(server, arrives=arrives)
    with pytest.raises(UnreachableError):
        over(line, tmp_path, clock).refresh("ops")
    (waiting,) = alice.memberships()
    assert waiting.pending_update is not None
    assert set(line.sent) == {waiting.pending_update.envelope.encode()}
    assert (waiting.group.epoch, own_key(alice)) == (epoch, before)

    line.cut = False
    device = over(line, tmp_path, clock)
    device.catch_up()
    if not arrives:
        device.refresh("ops")
        assert server.envelopes == [waiting.pending_update.envelope]
    assert own_key(device) != before
    assert group_of(device).epoch_authenticator == server.groups["ops"].mls.epoch_authenticator
    assert group_of(device).epoch == epoch + 1


def test_another_commit_that_won_is_followed_and_the_own_one_tried_again(alice: Device, server: Service) -> None:
    before = own_key(alice)
    server.before_envelope = [lambda: server.update("ops")] * 2
    alice.refresh("ops")
    assert own_key(alice) != before
    assert len(set(server.envelopes)) == 3
    assert group_of(alice).epoch_authenticator == server.groups["ops"].mls.epoch_authenticator


def test_a_device_that_never_wins_says_so_and_stays_as_it_was(alice: Device, server: Service) -> None:
    before = own_key(alice)
    server.before_envelope = [lambda: server.update("ops")] * 10
    with pytest.raises(OutOfSyncError):
        alice.refresh("ops")
    assert own_key(alice) == before
    assert alice.memberships()[0].pending_update is None


def test_a_commit_that_is_refused_does_not_wait(alice: Device) -> None:
    renewals = alice._key_refresh
    renewal = renewals._prepare("ops")
    broken = renewal.envelope.replace('"content":"', '"content":"AAAA')
    with pytest.raises(ServerRefusedError):
        renewals._post("ops", type(renewal)(renewal.message, broken, renewal.after))
    assert alice.memberships()[0].pending_update is None


def test_keys_older_than_a_week_are_replaced_on_the_way(alice: Device, server: Service, clock: Clock) -> None:
    before = own_key(alice)
    clock.advance(days=6)
    alice.catch_up()
    assert own_key(alice) == before
    clock.advance(days=1)
    alice.catch_up()
    assert own_key(alice) != before
    assert len(server.envelopes) == 1
    alice.catch_up()
    assert len(server.envelopes) == 1


def test_keys_that_can_not_be_replaced_keep_nothing_from_going_on(
    alice: Device, server: Service, clock: Clock, tmp_path: Path
) -> None:
    assert alice.memberships()
    incidents: list[Incident] = []
    home = Home.open(tmp_path / "alice", "passphrase")
    device = Device.open(home, URL, transport=server, now=clock, observe=incidents.append)
    clock.advance(days=8)
    server.before_envelope = [lambda: server.update("ops")] * 3
    assert device.catch_up() == []
    assert len(server.envelopes) == 1
    assert "could not be replaced" in incidents[0].sentence


def test_only_a_member_replaces_keys(alice: Device, server: Service) -> None:
    server.remove("ops", next(iter(server.groups["ops"].users)))
    with pytest.raises(NotEnrolledError):
        alice.refresh("ops")
