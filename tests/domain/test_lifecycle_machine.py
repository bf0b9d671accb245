"""Four people at random, with a clock that likes edges: the invariants hold after whatever they do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from keyturn.domain.errors import Refusal
from keyturn.domain.invariants import breaches
from keyturn.domain.lifecycle import due, next_due_at, settle
from keyturn.domain.model import ClientState, ClientStatus, Outcome, Phase, VersionState
from keyturn.domain.policy import Policy

from tests.domain.scene import ADMINS, DAY, HOUR, LEAD, MARGIN, MINUTE, TICK, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.domain.audit_chain import Transition
    from keyturn.domain.lifecycle import Decision

WHO = st.sampled_from((*ADMINS, *ADMINS, "eve"))
BACK = st.sampled_from((0, 0, 0, 1, 2))
"""How many rotations back a command names: mostly the newest, sometimes a stale one."""
GRACES = st.sampled_from((None, timedelta(0), TICK, MINUTE, DAY, 30 * DAY, 31 * DAY))
LEADS = st.sampled_from((None, timedelta(0), LEAD - TICK, LEAD, HOUR, 2 * DAY, 91 * DAY))
WAITS = st.sampled_from((TICK, MINUTE, LEAD, 30 * MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY))
LATER = st.timedeltas(timedelta(0), 60 * DAY)
PROMOTED = {Outcome.PROMOTED, Outcome.ROLLED_BACK}


def _needed(state: ClientState) -> ClientState:
    """Return the state with only those documents that a decision may rest on (model.ClientState)."""
    named = {version.version_id for version in (*state.live, *([state.pending] if state.pending else []))}
    rotations = {state.client.active_rotation, state.client.last_rotation}
    return replace(
        state,
        versions={key: item for key, item in state.versions.items() if key in named},
        rotations={key: item for key, item in state.rotations.items() if key in rotations},
    )


def _chain(transitions: Sequence[Transition]) -> None:
    for earlier, later in pairwise(transitions):
        assert later.before == earlier.after


class Lifecycle(RuleBasedStateMachine):
    """One client under fire."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()
        self.retired: set[str] = set()
        self.had_current = False

    @initialize(
        people=st.integers(1, 4),
        quorum=st.integers(1, 3),
        interval=st.sampled_from((0, 3600)),
        receipts=st.booleans(),
        emergency=st.integers(0, 2),
        issued=st.integers(0, 2),
        canaries=st.sampled_from((0, 0, 1, 2)),
        silent=st.booleans(),
    )
    def begin(
        self, people: int, quorum: int, interval: int, emergency: int, issued: int, canaries: int, *,
        receipts: bool, silent: bool,
    ) -> None:  # fmt: skip
        self.scene.people = ADMINS[:people]
        self.scene.policy = Policy(
            quorum=max(1, min(quorum, people - 1)),
            minimum_interval_seconds=interval,
            require_receipts=receipts,
            emergency_quorum=emergency,
            requests_per_hour_per_client=6,
            canaries=canaries,
            retire_early=silent,
        )
        for _ in range(issued):
            self.renew(grace=None, urgent=False, edge=True)

    def attempt(self, act: Callable[..., Decision], *given: Any, **named: Any) -> None:  # noqa: ANN401 - any act's
        """Try what may be refused; whatever else escapes is a failure."""
        before = self.scene.state
        held = (before.client, dict(before.versions), dict(before.rotations))
        if named.get("by") in ADMINS[len(self.scene.people) :]:
            named["by"] = self.scene.people[0]
        try:
            decision = act(*given, **named)
        except Refusal:
            assert self.scene.state is before
        else:
            self.judge(before, decision)
        assert held == (before.client, before.versions, before.rotations)

    def judge(self, before: ClientState, decision: Decision) -> None:
        """Hold an accepted command to its transitions: at least one, each beginning where the last one ended."""
        history = self.scene.history
        assert decision.transitions
        assert history[-len(decision.transitions) :] == list(decision.transitions)
        _chain(history)
        assert settle(decision.state, self.scene.policy, self.scene.now).transitions == ()
        live = settle(_needed(before), self.scene.policy, self.scene.now)
        assert live.state.client == settle(before, self.scene.policy, self.scene.now).state.client

    def number(self, back: int) -> int:
        """Return the number of a version: the newest, or so many before it (-1: one that is not there yet)."""
        return max(1, len(self.scene.state.versions) - back)

    # --- what people do ----------------------------------------------------------------------------------------------

    @rule(who=WHO, lead=LEADS, grace=GRACES, supersede=st.booleans(), fresh=st.sampled_from((True, True, True, False)))
    def request(
        self, who: str, lead: timedelta | None, grace: timedelta | None, *, supersede: bool, fresh: bool
    ) -> None:
        not_before = None if lead is None else self.scene.now + lead
        asked = {"by": who, "grace": grace, "supersede": supersede, "not_before": not_before}
        self.attempt(self.scene.request, self.number(-fresh), **asked)

    @rule(who=WHO, lead=LEADS, grace=GRACES, fresh=st.sampled_from((True, True, True, False)))
    def emergency(self, who: str, lead: timedelta | None, grace: timedelta | None, *, fresh: bool) -> None:
        not_before = None if lead is None else self.scene.now + lead
        self.attempt(self.scene.emergency, self.number(-fresh), by=who, grace=grace, not_before=not_before)

    @rule(back=BACK)
    def distribute(self, back: int) -> None:
        self.attempt(self.scene.distribute, self.number(back))

    @rule(who=WHO, back=BACK, given=st.sampled_from(({}, {}, {}, {"receipt": None}, {"member": False})))
    def acknowledge(self, who: str, back: int, given: dict[str, Any]) -> None:
        self.attempt(self.scene.acknowledge, self.number(back), by=who, **given)

    @rule(who=WHO)
    def carry_on(self, who: str) -> None:
        """Take the active rotation a step further, so that promotions are common."""
        rotation = self.scene.state.rotation
        if rotation and rotation.phase is Phase.REQUESTED:
            self.distribute(0)
        self.acknowledge(who, 0, {})

    @rule(urgent=st.booleans(), grace=GRACES, edge=st.booleans())
    def renew(self, grace: timedelta | None, *, urgent: bool, edge: bool) -> None:
        """Go through with a rotation: everybody acknowledges."""
        ask = self.emergency if urgent else partial(self.request, supersede=True)
        ask("ada", None, grace, fresh=True)
        self.distribute(0)
        for who in self.scene.people:
            self.acknowledge(who, 0, {})
        self.count_canaries(0, 2)
        if edge:
            self.wait_for_the_next_edge(0)

    @rule(back=BACK, count=st.integers(1, 3))
    def count_canaries(self, back: int, count: int) -> None:
        self.attempt(self.scene.count_canaries, self.number(back), count)

    @rule(back=st.sampled_from((0, 1, 1, 2)), shown=st.sampled_from((None, DAY, DAY, 3 * DAY)))
    def retire_silent(self, back: int, shown: timedelta | None) -> None:
        self.attempt(self.scene.retire_silent, self.number(back), needed=shown)

    @rule(who=WHO, back=BACK)
    def cancel(self, who: str, back: int) -> None:
        self.attempt(self.scene.cancel, self.number(back), by=who)

    @rule(who=WHO, compromised=st.sampled_from((False, False, True)))
    def rollback(self, who: str, *, compromised: bool) -> None:
        self.attempt(self.scene.rollback, by=who, compromised=compromised)

    @rule(who=WHO, first=st.booleans())
    def restore(self, who: str, *, first: bool) -> None:
        if first:
            self.rollback(who, compromised=False)
        self.attempt(self.scene.restore, by=who)

    @rule(who=WHO, back=BACK)
    def retire(self, who: str, back: int) -> None:
        self.attempt(self.scene.retire, self.number(back), by=who)

    @rule(who=WHO, back=BACK, force=st.booleans())
    def revoke(self, who: str, back: int, *, force: bool) -> None:
        self.attempt(self.scene.revoke, self.number(back), by=who, force=force)

    @rule(back=BACK, fresh=st.sampled_from((True, True, True, False)), signed=st.sampled_from((True, True, False)))
    def burn(self, back: int, *, fresh: bool, signed: bool) -> None:
        """Revoke a leaked version, and request its successor at once."""
        given = {} if signed else {"receipt_key": None}
        self.attempt(self.scene.burn, self.number(back), self.number(-fresh), **given)

    @rule(who=WHO, meant=st.integers(0, 30))
    def revoke_client(self, who: str, meant: int) -> None:
        """Rarely: it is final."""
        if meant == 30:
            self.attempt(self.scene.revoke_client, by=who)

    @rule(who=WHO, active=st.sampled_from((True, True, True, False)))
    def stop_and_go(self, who: str, *, active: bool) -> None:
        self.attempt(self.scene.resume if active else self.scene.suspend, by=who)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Deliver an old command again."""
        if self.scene.accepted:
            self.attempt(self.scene.act, data.draw(st.sampled_from(self.scene.accepted)))

    # --- what time does ----------------------------------------------------------------------------------------------

    @rule(duration=WAITS)
    def wait(self, duration: timedelta) -> None:
        self.scene.wait(duration)

    @rule(ticks=st.integers(-1, 1))
    def wait_for_the_next_edge(self, ticks: int) -> None:
        if item := due(self.scene.state, self.scene.policy):
            self.scene.now = max(self.scene.now, item.at + ticks * TICK)

    @rule(ticks=st.integers(-1, 0))
    def wait_for_the_margin(self, ticks: int) -> None:
        previous = self.scene.state.previous
        if previous and previous.not_after:
            self.scene.now = max(self.scene.now, previous.not_after - MARGIN + ticks * TICK)

    @rule()
    def settle(self) -> None:
        self.scene.settle()
        _chain(self.scene.history)

    @rule(first=LATER, second=LATER)
    def look_twice(self, first: timedelta, second: timedelta) -> None:
        """Settling at two moments equals settling at the later one."""
        state, policy, now = self.scene.state, self.scene.policy, self.scene.now
        early, late = sorted((now + first, now + second))
        once, begun = settle(state, policy, late), settle(state, policy, early)
        ended = settle(begun.state, policy, late)
        assert ended.state == once.state
        assert (*begun.transitions, *ended.transitions) == once.transitions

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_broken(self) -> None:
        assert list(breaches(self.scene.state)) == []

    @invariant()
    def retired_stays_retired(self) -> None:
        versions = self.scene.state.versions.values()
        retired = {item.version_id for item in versions if item.state is VersionState.RETIRED}
        assert self.retired <= retired
        self.retired = retired

    @invariant()
    def nobody_is_locked_out(self) -> None:
        state = settle(self.scene.state, self.scene.policy, self.scene.now).state
        self.had_current = self.had_current or state.current is not None
        if self.had_current and state.client.status is ClientStatus.ACTIVE:
            assert state.current is not None
        assert sum(item.state is VersionState.GRACE for item in state.versions.values()) <= 1

    @invariant()
    def each_promotion_had_its_quorum(self) -> None:
        for rotation in self.scene.state.rotations.values():
            if rotation.outcome in PROMOTED:
                users = {ack.user for ack in rotation.acks}
                own = {rotation.requested_by.user} if rotation.quorum > 1 else set()
                assert len(users - own) >= rotation.quorum
                assert rotation.canaries >= rotation.canaries_required

    @invariant()
    def due_means_due(self) -> None:
        state, policy = self.scene.state, self.scene.policy
        item = due(state, policy)
        assert (item is None) == (next_due_at(state, policy) is None)
        if item:
            assert settle(state, policy, item.at - TICK).transitions == ()
            assert settle(state, policy, item.at).transitions != ()


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
