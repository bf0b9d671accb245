"""Decisions that take effect late: nothing that a verifier has retired verifies again (docs/protocol.md §4).

Every command is decided at every edge of every stage, and committed later. Until then verifiers settle the old state.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Refusal
from keyturn.domain.invariants import breaches
from keyturn.domain.lifecycle import TABLE, due, settle
from keyturn.domain.model import ClientStatus, VersionState

from tests.domain.scene import DAY, HOUR, LONGEST_COMMIT, SECOND, STAGES, TICK, Scene, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import ClientState

NO_TIME = timedelta(0)
FIRESTORE = 40 * SECOND
UNTIL_KNOWN = 9 * SECOND
"""The staleness bound and twice the tolerance of the clocks."""


def _acknowledged_without_grace(scene: Scene) -> None:
    STAGES["current"](scene)
    scene.request(2, grace=NO_TIME)
    scene.distribute(2)
    scene.acknowledge(2)


def _acknowledged_that_supersedes(scene: Scene) -> None:
    STAGES["grace"](scene)
    scene.wait(HOUR).request(3, supersede=True)
    scene.distribute(3)
    scene.acknowledge(3)


def _scheduled_emergency(scene: Scene) -> None:
    STAGES["suspended"](scene)
    scene.emergency(2, grace=NO_TIME, not_before=scene.now + HOUR)
    scene.distribute(2)
    for user in ("bo", "cy"):
        scene.acknowledge(2, user)


def _waiting_for_canaries(scene: Scene) -> None:
    STAGES["current"](scene)
    scene.policy = replace(scene.policy, canaries=1)
    scene.request(2, grace=NO_TIME)
    scene.distribute(2)
    scene.acknowledge(2)


def _suspended_in_grace(scene: Scene) -> None:
    STAGES["grace"](scene)
    scene.suspend()


EDGY: dict[str, Callable[[Scene], None]] = {
    **STAGES,
    "acknowledged without grace": _acknowledged_without_grace,
    "acknowledged, supersedes": _acknowledged_that_supersedes,
    "scheduled emergency": _scheduled_emergency,
    "waiting for canaries": _waiting_for_canaries,
    "suspended in grace": _suspended_in_grace,
}


def numbered(name: str, act: Callable[[Scene, int], Decision]) -> dict[str, Callable[[Scene], Decision]]:
    """Return a command for each of three rotations or versions."""

    def bound(number: int) -> Callable[[Scene], Decision]:
        return lambda scene: act(scene, number)

    return {f"{name} {number}": bound(number) for number in (1, 2, 3)}


COMMANDS: dict[str, Callable[[Scene], Decision]] = {
    "request": lambda scene: scene.request(8, grace=NO_TIME),
    "request, supersedes": lambda scene: scene.request(8, supersede=True),
    "emergency": lambda scene: scene.emergency(8, grace=NO_TIME),
    "rollback": Scene.rollback,
    "rollback, compromised": lambda scene: scene.rollback(compromised=True),
    "restore": Scene.restore,
    "revoke client": Scene.revoke_client,
    "suspend": Scene.suspend,
    "resume": Scene.resume,
    **numbered("distribute", Scene.distribute),
    **numbered("acknowledge", lambda scene, number: scene.acknowledge(number, "di")),
    **numbered("count canaries", lambda scene, number: scene.count_canaries(number, 1)),
    **numbered("cancel", Scene.cancel),
    **numbered("retire", Scene.retire),
    **numbered("retire silent", Scene.retire_silent),
    **numbered("revoke", Scene.revoke),
    **numbered("force", lambda scene, number: scene.revoke(number, force=True)),
    **numbered("leak", lambda scene, number: scene.act(scene.leak_report(number))),
    **numbered("burn", lambda scene, number: scene.burn(number, 8)),
}


def begin(stage: str, longest_commit: timedelta) -> Scene:
    """Return a scene with two admins, so that no command waits for a second person."""
    scene = Scene()
    EDGY[stage](scene)
    scene.people = ("ada", "di")
    scene.policy = replace(scene.policy, retire_early=True)
    scene.longest_commit = longest_commit
    return scene


def edges(scene: Scene, state: ClientState) -> Iterator[datetime]:
    """Yield the instants at which time alone changes the state."""
    while item := due(state, scene.policy):
        yield item.at
        state = settle(state, scene.policy, item.at).state


def moments(scene: Scene, late: timedelta) -> Iterator[datetime]:
    """Yield the instants around each edge at which a decision could be one too late, and now."""
    margin = scene.longest_commit + UNTIL_KNOWN
    yield scene.now
    for edge in edges(scene, scene.state):
        for before in (
            margin + TICK,
            margin,
            margin - TICK,
            late + TICK,
            late,
            20 * SECOND,
            10 * SECOND,
            TICK,
            NO_TIME,
        ):
            yield max(scene.now, edge - before)


def ids(state: ClientState, kind: VersionState | None = None) -> frozenset[str]:
    """Return the live versions, or those of one state."""
    if kind is None:
        return frozenset(item.version_id for item in state.live)
    return frozenset(item.version_id for item in state.versions.values() if item.state is kind)


def revived(scene: Scene, old: ClientState, new: ClientState, committed: datetime) -> frozenset[str]:
    """Return the versions that were live, that a verifier has retired by the old state, and that verify again."""
    known = committed + UNTIL_KNOWN
    before = [scene.now, *(edge for edge in edges(scene, old) if scene.now <= edge <= known), known]
    later = [edge + tick for edge in edges(scene, new) if edge >= committed for tick in (-TICK, NO_TIME)]
    found: frozenset[str] = frozenset()
    for time in {committed, known, *(edge for edge in before if edge >= committed), *later}:
        seen = [settle(old, scene.policy, moment).state for moment in before if moment <= time]
        gone = ids(seen[-1], VersionState.RETIRED) & frozenset().union(*map(ids, seen))
        state = settle(new, scene.policy, time).state
        found |= gone & ids(state) if state.client.status is ClientStatus.ACTIVE else frozenset()
    return found


def cases(longest_commit: timedelta, late: timedelta) -> Iterator[tuple[str, str, bool, frozenset[str], Scene]]:
    """Yield stage, command, whether it is timely, what it revives, and the scene after it, for all that is accepted."""
    for stage in EDGY:
        start = begin(stage, longest_commit)
        for now in dict.fromkeys(moments(start, late)):
            for name, act in COMMANDS.items():
                scene = replace(start, now=now, history=[], accepted=[])
                try:
                    decision = act(scene)
                except Refusal:
                    continue
                yield stage, name, decision.timely, revived(scene, start.state, scene.state, now + late), scene


@pytest.mark.parametrize("longest_commit", [LONGEST_COMMIT, FIRESTORE], ids=["embedded", "firestore"])
def test_no_decision_that_takes_effect_late_revives_what_a_verifier_retired(longest_commit: timedelta) -> None:
    accepted: Counter[type] = Counter()
    for stage, name, _, versions, scene in cases(longest_commit, longest_commit):
        assert not versions, (stage, name, scene.now)
        assert not list(breaches(scene.state)), (stage, name)
        accepted.update(map(type, scene.accepted))
    # `burn` decides two commands at once, and is not listed by the scene.
    assert set(accepted) == set(TABLE)


def test_other_decisions_are_safe_however_late_they_take_effect() -> None:
    for late in (FIRESTORE, HOUR, 2 * DAY, 60 * DAY):
        for stage, name, timely, versions, _ in cases(FIRESTORE, late):
            assert timely or not versions, (stage, name, late)


def test_what_this_test_looks_for_exists() -> None:
    """Without the store's part of the margin, the very commands that are timely revive a retired version."""
    found = {name.split(",")[0].split(" ")[0] for _, name, _, versions, _ in cases(NO_TIME, FIRESTORE) if versions}
    assert found == {"rollback", "restore", "cancel", "emergency", "revoke", "force", "leak", "burn"}


def test_a_cancel_that_could_come_after_the_promotion_is_refused() -> None:
    scene = begin("acknowledged without grace", FIRESTORE)
    scene.now = scene.rotation(2).not_before - FIRESTORE
    with pytest.raises(Refusal) as refusal:
        scene.cancel(2)
    assert refusal.value.reason == "promotion_imminent"


def test_a_cancel_that_retires_nothing_is_accepted_until_the_promotion() -> None:
    scene = staged("acknowledged")
    scene.now = scene.rotation(2).not_before - TICK
    assert not scene.cancel(2).awaits_second_person
