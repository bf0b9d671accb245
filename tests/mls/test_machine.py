"""Random sequences of operations by up to 30 members: all agree all the time, and the removed are out.

`MLS_SEQUENCES` says how many sequences (300 without it, always the same ones; a number draws new ones each time).
"""

import os
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.mls.crowd import MOST_MEMBERS, Crowd

DEFAULT_SEQUENCES = 300
SIZES = 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 7, 8, 9, 12, 29
who = st.integers(0, MOST_MEMBERS - 1)
flag = st.booleans()


class Members(RuleBasedStateMachine):
    """Lets somebody do something, again and again; the crowd knows what has to come of it."""

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    # Seed 1 is taken: the beginnings are made with it, and two members must not have the same keys.
    @initialize(size=st.sampled_from(SIZES), seed=st.integers(2, 2**32))
    def begin(self, size: int, seed: int) -> None:
        self.crowd = Crowd(size, seed)

    @rule(by=who, adds=st.integers(0, 2), out=st.lists(who, max_size=2), public=flag, pending=flag, brief=flag)
    def commit(self, *, by: int, adds: int, out: list[int], public: bool, pending: bool, brief: bool) -> None:
        committer = self._name(by)
        removed = {name for number in out if (name := self.crowd.name(number, but=committer))}
        self.crowd.commit(committer, adds, sorted(removed), public=public, pending=pending, brief=brief)

    @rule(by=who, public=flag)
    def update(self, *, by: int, public: bool) -> None:
        self.crowd.commit(self._name(by), 0, (), public=public, pending=True)

    @rule(by=who, kind=st.sampled_from(("add", "update", "remove")), whom=who, public=flag)
    def propose(self, *, by: int, kind: str, whom: int, public: bool) -> None:
        self.crowd.propose(self._name(by), kind, self._name(whom), public=public)

    @rule(by=who, number=st.integers(1, 3), order=st.integers(0, 2))
    def say(self, *, by: int, number: int, order: int) -> None:
        self.crowd.say(self._name(by), number, order)

    @rule(name=who)
    def catch_up(self, *, name: int) -> None:
        self.crowd.catch_up(self._name(name))

    @rule(name=who)
    def restart(self, *, name: int) -> None:
        self.crowd.restart(self._name(name))

    @invariant()
    def all_agree(self) -> None:
        self.operations += 1
        self.crowd.check()
        self.counts["largest group"] = max(self.counts["largest group"], len(self.crowd.members))

    def _name(self, number: int) -> str:
        name = self.crowd.name(number)
        assert name is not None
        return name

    def teardown(self) -> None:
        self.counts["sequences"] += 1
        self.counts["operations"] += self.operations
        self.counts.update(self.crowd.done)


def test_all_members_agree_after_any_sequence(record_property: Callable[[str, object], None]) -> None:
    asked = os.environ.get("MLS_SEQUENCES")
    run_state_machine_as_test(
        Members,
        settings=settings(
            max_examples=int(asked or DEFAULT_SEQUENCES),
            stateful_step_count=12,
            deadline=None,
            derandomize=asked is None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Members.counts["sequences"] >= int(asked or DEFAULT_SEQUENCES)
    record_property("machine", dict(Members.counts))
