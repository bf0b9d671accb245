"""What a process gets from its system."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from keyturn.ports.effects import Environment, uniform, wait


def test_pause_is_spread_over_its_whole_range() -> None:
    assert uniform(lambda size: b"\0" * size, 8.0) == 0.0
    assert uniform(lambda size: b"\x80" + b"\0" * (size - 1), 8.0) == 4.0
    assert 7.99 < uniform(lambda size: b"\xff" * size, 8.0) < 8.0


def test_system_gives_bytes_of_the_size_and_a_clock_that_goes_forward() -> None:
    system = Environment()
    assert [len(system.random(size)) for size in (0, 1, 32)] == [0, 1, 32]
    assert system.random(32) != system.random(32)
    assert system.monotonic() <= system.monotonic()


def test_wait_ends_with_the_future_or_in_time() -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        wait(future, 0.0)
    future.set_exception(ValueError())
    wait(future, 0.0)  # the caller asks the future for its result or its error
