"""Several processes at once on one store: a challenge, a code and a proof are each good for one of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.domain.errors import Refusal
from keyturn.domain.lockout import FREE_FAILURES

from tests.proving.stage import ROTATION, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_T = TypeVar("_T")
AT_ONCE = 6


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a stage on files, as several processes would share them; each call has a use case of its own."""
    return Stage(tmp_path, lambda name, clock: SqliteStore(tmp_path / f"{name}.db", clock=clock))


def together(calls: Sequence[Callable[[], _T]]) -> list[_T | Refusal]:
    """Make all calls at the same moment, and return what each came to."""
    start = Barrier(len(calls))

    def call(one: Callable[[], _T]) -> _T | Refusal:
        start.wait()
        try:
            return one()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def reasons(outcomes: Sequence[Any]) -> list[str]:
    return sorted(outcome.reason if isinstance(outcome, Refusal) else "accepted" for outcome in outcomes)


def test_of_many_requests_with_one_challenge_one_gets_a_proof(stage: Stage) -> None:
    asked = stage.asked()
    outcomes = together([partial(stage.prover(), asked) for _ in range(AT_ONCE)])
    assert reasons(outcomes) == ["accepted", *["challenge_refused"] * (AT_ONCE - 1)]


def test_of_many_requests_with_one_code_one_gets_a_proof(stage: Stage) -> None:
    each = [stage.asked() for _ in range(AT_ONCE)]
    outcomes = together([partial(stage.prover(), asked) for asked in each])
    refused = set(reasons(outcomes)) - {"accepted"}
    assert reasons(outcomes).count("accepted") == 1
    assert refused <= {"proof_refused", "locked"}


def test_guesses_at_once_are_counted_one_by_one_and_locked(stage: Stage) -> None:
    each = [stage.asked(totp="000000") for _ in range(AT_ONCE)]
    outcomes = together([partial(stage.prover(), asked) for asked in each])
    assert reasons(outcomes).count("proof_refused") == FREE_FAILURES
    assert reasons(outcomes).count("locked") == AT_ONCE - FREE_FAILURES
    assert stage.admin().failures == FREE_FAILURES


def test_of_many_events_with_one_proof_one_is_carried_out(stage: Stage) -> None:
    proof = stage.proof()
    events = [stage.event(proof=proof, seconds=second).to_json().encode() for second in range(AT_ONCE)]
    outcomes = together([partial(stage.door(), body) for body in events])
    assert reasons(outcomes) == ["accepted", *["proof_refused"] * (AT_ONCE - 1)]
    accepted = next(outcome for outcome in outcomes if not isinstance(outcome, Refusal))
    assert accepted["rotation_id"] == ROTATION
