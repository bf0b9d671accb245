"""The circuit breaker, in a time of its own."""

from __future__ import annotations

import pytest
from keyturn.adapters.google_kms.retry import CircuitBreaker, KmsRetryPolicy
from keyturn.ports.keys import KeyUnavailable

from tests.adapters.google_kms.kms_scene import Time


def opened(time: Time) -> CircuitBreaker:
    breaker = CircuitBreaker(KmsRetryPolicy(failures=3, open_seconds=5.0, clock=lambda: time.now))
    for _ in range(3):
        breaker.admit()
        breaker.record_failure()
    return breaker


def refuses(breaker: CircuitBreaker) -> bool:
    try:
        breaker.admit()
    except KeyUnavailable:
        return True
    return False


def test_opens_after_so_many_failures_in_a_row() -> None:
    assert refuses(opened(Time()))


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = CircuitBreaker(KmsRetryPolicy(failures=2))
    for _ in range(5):
        breaker.record_failure()
        breaker.record_success()
    assert not refuses(breaker)


def test_lets_one_probe_through_at_a_time() -> None:
    time = Time()
    breaker = opened(time)
    time.pass_by(5.0)
    assert [refuses(breaker) for _ in range(4)] == [False, True, True, True]


def test_probe_that_never_reports_back_blocks_nobody_for_ever() -> None:
    time = Time()
    breaker = opened(time)
    time.pass_by(5.0)
    breaker.admit()
    time.pass_by(5.0)
    assert not refuses(breaker)


@pytest.mark.parametrize(("answered", "refused"), [(True, False), (False, True)])
def test_what_the_probe_finds_decides(answered: bool, refused: bool) -> None:  # noqa: FBT001 - cases of a table
    time = Time()
    breaker = opened(time)
    time.pass_by(5.0)
    breaker.admit()
    if answered:
        breaker.record_success()
    else:
        breaker.record_failure()
    assert refuses(breaker) is refused
