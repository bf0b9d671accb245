"""Which suite serves a request."""

from __future__ import annotations

from threading import Thread

from keyturn.entry.composition import suite as wiring
from keyturn.entry.composition.suite import Suite, current, serving
from keyturn.entry.config.settings import Settings, Stage


def new_suite() -> Suite:
    return Suite(Settings(stage=Stage.LOCAL, base_url="https://keyturn.example"))


def test_a_process_may_hold_several_suites() -> None:
    of_process, first, second = (new_suite() for _ in range(3))
    wiring.use(of_process)
    try:
        with serving(first):
            with serving(second):
                assert current() is second
            assert current() is first
            elsewhere: list[Suite] = []
            thread = Thread(target=lambda: elsewhere.append(current()))
            thread.start()
            thread.join()
            assert elsewhere == [of_process]
        assert current() is of_process
    finally:
        wiring.use(None)
