"""Trials: what no row of the lifecycle table describes, and what concerns several clients or people at once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from keyturn.ports.store import Amend

from tests.simulation.faults import Armed, Fault
from tests.simulation.oracle import DISTRIBUTION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.people import Person
    from tests.simulation.stage import Stage

_DONE = 200
SHORT_GRACE = timedelta(seconds=40)
JUMP_SECONDS = 8 * 86_400.0
"""Longer than the default grace: followed at once, it would end every grace for good."""


def _rotate(stage: Stage, person: Person, client_id: str, *, lose_event: bool = False, **options: Any) -> bool:  # noqa: ANN401 - of Device.rotate
    """Request a rotation. Return whether it was accepted."""
    supersede = stage.client(client_id)["previous_version"] is not None
    person.armed = Armed(Fault.EVENT_LOST) if lose_event else None
    outcome = stage.rotate(person, client_id, supersede=supersede, **options)
    person.armed = None
    return outcome.is_accepted


def _put_in_grace(stage: Stage, person: Person, client_id: str, grace: timedelta = SHORT_GRACE) -> bool:
    if not _rotate(stage, person, client_id, grace=grace):
        return False
    stage.wait_for(lambda: stage.phase(client_id) == "distributed", 60)
    return stage.acknowledge(client_id, person).is_accepted


def let_a_recipient_leave(stage: Stage, clients: list[str]) -> None:
    """Remove a recipient while a rotation is open, by a process that may die on the way. Then the recipient acts."""
    client_id, leaver = clients[0], stage.person()
    person = stage.person(other_than=leaver)
    if not _rotate(stage, person, client_id, not_before=timedelta(minutes=10)):
        return
    stage.wait_for(lambda: stage.phase(client_id) == "distributed", 60)
    leaver.read_inbox()
    stage.note(f"the operator removes {leaver.user} from the group")
    armed = Armed(stage.random.choice((Fault.PROCESS_KILLED_BEFORE, Fault.PROCESS_KILLED_AFTER)), 4)
    armed.countdown = stage.random.randrange(2, 16)
    stage.oracle.note_command("remove", client_id, stage.now)
    stage.deployment.operate("/groups/ops/remove", {"user": leaver.user}, armed=armed)
    stage.acknowledge(client_id, leaver)
    stage.command(leaver, "suspend", client_id, {})
    for body in leaver.bodies[-2:]:
        stage.repeat(body)
    stage.deployment.operate("/groups/ops/remove", {"user": leaver.user})
    stage.check_all(client_id)


def starve_the_sweep(stage: Stage, clients: list[str]) -> None:
    """Let the bus fail while rotations wait and another client is due."""
    due, *waiting = clients
    person = stage.person()
    if not _put_in_grace(stage, person, due):
        return
    for client_id in waiting:
        _rotate(stage, person, client_id, lose_event=True)
    stage.sleep(90.0)  # the grace ends, and the rotations have waited for long enough to be published again
    stage.deployment.fail(Fault.BUS_DOWN, 600.0)
    stage.judge_sweep()
    stage.deployment.heal()
    _judge_distributions(stage, waiting)


def poison_a_document(stage: Stage, clients: list[str]) -> None:
    """Damage a field of one client's document. Every other client settles, and gets its secret."""
    poisoned, due, waiting = clients[:3]
    person = stage.person()
    if not (_put_in_grace(stage, person, due) and _put_in_grace(stage, person, poisoned)):
        return
    _rotate(stage, person, poisoned, lose_event=True)
    _rotate(stage, person, waiting, lose_event=True)
    stage.sleep(90.0)
    path, field = _poison(stage, poisoned)
    control = stage.deployment.databases["control"]
    whole = control.get([path])[path].fields
    stage.note(f"field {field} of {path} is damaged")
    control.commit([Amend(path, {field: {"not": "what it was"}})])
    stage.deployment.is_poisoned = True
    make_everything_due(stage)
    stage.judge_sweep(poisoned)
    _judge_distributions(stage, [waiting])
    stage.check_all(due)
    control.commit([Amend(path, {field: whole[field]})])
    stage.deployment.is_poisoned = False


def _poison(stage: Stage, client_id: str) -> tuple[str, str]:
    """Return a document of a client, and a field of it."""
    client = stage.client(client_id)
    client_path = f"oauth2_clients/{client_id}"
    paths = {
        client_path: ("live", "policy", "admin_groups", "audit_head", "status", "revision", "kind"),
        f"{client_path}/secrets/{client['current_version']}": ("state", "not_before"),
        f"oauth2_rotations/{client['active_rotation'] or client['last_rotation']}": ("phase", "created_at", "acks"),
    }
    path = stage.random.choice([name for name in paths if stage.deployment.document(name)])
    return path, stage.random.choice(paths[path])


def make_everything_due(stage: Stage) -> None:
    """Let the hourly maintenance run with the next sweep."""
    store = stage.deployment.databases["control"]
    if store.get(["service/house"])["service/house"].exists:
        store.commit([Amend("service/house", {"due_at": stage.deployment.store_time()})])


def fill_a_batch(stage: Stage, clients: list[str]) -> None:
    """Let rotations of several clients wait for one distribution."""
    person = stage.person()
    for client_id in clients:
        _rotate(stage, person, client_id, lose_event=True)
    stage.sleep(65.0)
    stage.sweep()
    _judge_distributions(stage, clients)


def let_a_crowd_acknowledge(stage: Stage, clients: list[str]) -> None:
    """Let everybody acknowledge one rotation at the same time, each in an envelope of the same group."""
    client_id, requester = clients[0], stage.person()
    crowd = [person for person in stage.people.values() if person is not requester]
    stage.deployment.operate(f"/clients/{client_id}/policy", {"policy": {"quorum": len(crowd)}})
    if not _rotate(stage, requester, client_id):
        return
    stage.wait_for(lambda: stage.phase(client_id) == "distributed", 60)
    for person in crowd:
        person.read_inbox()
    sent = sum(len(person.bodies) for person in stage.people.values())
    rotation_id = stage.latest_rotation(client_id)
    stage.together([(0.0, person.user, partial(person.acknowledge, rotation_id)) for person in crowd])
    messages = sum(len(person.bodies) for person in stage.people.values()) - sent
    if any("group_rate" in line for _, line in stage.deployment.story):
        stage.oracle.note_refused_rate(messages, stage.now)


def let_the_operator_block(stage: Stage, clients: list[str]) -> None:
    """Deny a person, and stop the suite, by a process that may die on the way. Both hold once they are answered."""
    client_id, denied = clients[0], stage.person()
    other = stage.person(other_than=denied)
    armed = Armed(Fault.PROCESS_KILLED_AFTER, stage.random.randrange(10))
    stage.deployment.operate("/denied", {"add": {"users": [denied.user]}, "reason": "left in anger"}, armed=armed)
    if stage.deployment.operate("/denied", {"add": {"users": [denied.user]}, "reason": "left in anger"})[0] == _DONE:
        is_accepted = _rotate(stage, denied, client_id)
        stage.oracle.note_block(denied.user, stage.now, is_accepted=is_accepted)
    stage.deployment.operate("/denied", {"remove": {"users": [denied.user]}, "reason": "came back"})
    if stage.deployment.operate("/stop", {"reason": "an incident"})[0] == _DONE:
        is_accepted = _rotate(stage, other, client_id)
        stage.oracle.note_block("everybody", stage.now, is_accepted=is_accepted)
    stage.check_all(client_id)
    stage.deployment.operate("/start", {"reason": "it is over"})
    stage.probe(client_id)


def let_the_clock_jump(stage: Stage, clients: list[str]) -> None:
    """Set the clock of the store's host by eight days, forward or back, and set it right four minutes later."""
    in_grace, other = clients[:2]
    if not _put_in_grace(stage, stage.person(), in_grace, timedelta(hours=1)):
        return
    jump = stage.random.choice((1, -1)) * JUMP_SECONDS
    for seconds in (jump, -jump):
        stage.note(f"the clock of the store's host jumps by {seconds / 86_400:+.0f} days")
        stage.deployment.clock_offset += seconds
        for _ in range(4):
            make_everything_due(stage)
            stage.sweep()
            stage.check_all(in_grace)
            stage.check_all(other)
            stage.sleep(50.0)
    stage.probe(in_grace)


def _judge_distributions(stage: Stage, clients: list[str]) -> None:
    """Wait until everything should be distributed, with a sweep each minute."""
    requested = [client_id for client_id in clients if stage.phase(client_id) == "requested"]
    end = stage.now + DISTRIBUTION_SECONDS
    while stage.now < end and any(stage.phase(client_id) == "requested" for client_id in requested):
        stage.sweep()
        stage.sleep(60.0)
    for client_id in requested:
        stage.oracle.note_distribution(client_id, stage.now, is_distributed=stage.phase(client_id) != "requested")


TRIALS: Mapping[str, Callable[[Stage, list[str]], None]] = {
    "a recipient leaves": let_a_recipient_leave,
    "the bus starves the sweep": starve_the_sweep,
    "a poisoned document": poison_a_document,
    "a full batch": fill_a_batch,
    "a crowd acknowledges": let_a_crowd_acknowledge,
    "the operator blocks": let_the_operator_block,
    "the clock jumps": let_the_clock_jump,
}
