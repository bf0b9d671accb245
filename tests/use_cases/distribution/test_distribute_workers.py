"""Four `distribute` workers on one group, processes of their own, killed at random: the bench row's stage, smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.domain.model import Rotation
from keyturn.ports.effects import Environment
from keyturn.records import paths
from keyturn.records.client_document import group_key
from keyturn.use_cases.distribution.batch_leader import PATIENCE_SECONDS, STAGGER_SECONDS, BatchLeader, WaitingRotation

from bench.distribute_stage import Sent, send
from tests.world import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.world import World

ROTATIONS = 120
KILLS = 8


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    folder: Path = tmp_path_factory.mktemp("workers")
    return send(folder, rotations=ROTATIONS, workers=4, kills=KILLS, seed=4)


def test_each_device_opens_one_notice_of_each_rotation(sent: Sent) -> None:
    """A generation that was used twice would be refused by a device: it opens each message of the log once."""
    assert len(sent.requested_ids) == ROTATIONS
    assert [sum(opened_rotations.values()) for opened_rotations in sent.opened_rotations] == [ROTATIONS] * 3
    assert sent.each_once


def test_no_message_is_dead(sent: Sent) -> None:
    assert sent.dead == 0


def test_devices_end_in_the_same_epoch_with_the_same_keys(sent: Sent) -> None:
    assert sent.agree


def test_hardly_a_commit_is_in_vain(sent: Sent) -> None:
    assert sent.batches > 4
    assert sent.attempted - sent.batches <= KILLS  # a message whose worker was killed may be led by two for a moment


# --- the leader ------------------------------------------------------------------------------------------------------


def waiting_rotations(world: World, count: int) -> list[Rotation]:
    """Ask for rotations of so many clients, and deliver none; the oldest first."""
    from keyturn.records.codec import from_data

    found = []
    for number in range(count):
        world.add_client(f"client-{number}")
        answer = world.send(world.admins["alice"].rotation(client_id=f"client-{number}"))
        world.clock.advance(seconds=1)
        assert answer.status_code == 200
        path = paths.rotation(str(answer.json["rotation_id"]))  # type: ignore[index]  # an object
        found.append(from_data(Rotation, world.document(path)))
    return found


def every_client(_client_id: str) -> bool:
    return True


def seconds_until_led(
    world: World, rotation: Rotation, can_lead: Callable[[str], bool] = every_client
) -> tuple[float, int]:
    """Return how long a worker waits before it leads if no other worker makes progress, and the size of its batch."""
    slept: list[float] = []
    led = BatchLeader(world.control, Environment(bytes, slept.append), can_lead).lead(rotation)
    return sum(slept), len(led)


def test_the_oldest_leads_at_once_and_later_ones_one_after_the_other(world: World) -> None:
    rotations = waiting_rotations(world.found("alice"), 4)
    waits = [seconds_until_led(world, rotation) for rotation in rotations]
    assert waits[0] == (0.0, 4)
    assert [count for _, count in waits] == [4] * 4
    for place in (1, 2, 3):
        assert waits[place][0] >= PATIENCE_SECONDS + place * STAGGER_SECONDS
        assert waits[place][0] > waits[place - 1][0]


def test_a_rotation_that_cannot_be_sent_makes_no_other_wait(world: World) -> None:
    rotations = waiting_rotations(world.found("alice"), 3)
    assert seconds_until_led(world, rotations[1], lambda client_id: client_id != "client-0") == (0.0, 2)


def test_progress_of_others_starts_the_wait_anew_and_being_sent_along_ends_it(world: World) -> None:
    first, second = waiting_rotations(world.found("alice"), 2)

    def meanwhile(_seconds: float) -> None:
        world.suite.distribution.distribute(first.client_id, first.rotation_id)

    assert BatchLeader(world.control, Environment(bytes, meanwhile), every_client).lead(second) == []


def test_a_rotation_beyond_the_batch_takes_itself_along(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.use_cases.distribution.batch_leader.BATCH", 2)
    rotations = waiting_rotations(world.found("alice"), 3)
    led = BatchLeader(world.control, Environment(bytes, lambda _seconds: None), every_client).lead(rotations[2])
    assert led[0] == WaitingRotation(rotations[2].rotation_id, "client-2")
    assert len(led) == 2
    assert world.document(paths.rotation(rotations[2].rotation_id))["waiting_for"] == group_key([GROUP])
