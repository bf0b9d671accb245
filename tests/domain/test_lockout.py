from __future__ import annotations

from datetime import timedelta

from keyturn.domain.lockout import FREE_FAILURES, LONGEST_DELAY, delay_after


def test_a_slip_costs_nothing_and_guessing_costs_more_each_time() -> None:
    delays = [delay_after(failures) for failures in range(40)]
    assert delays[:FREE_FAILURES] == [timedelta(0)] * FREE_FAILURES
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY


def test_a_day_of_guessing_is_fewer_than_twenty_codes() -> None:
    spent, codes = timedelta(0), 0
    while spent < timedelta(days=1):
        codes += 1
        spent += delay_after(codes)
    assert codes < 20
