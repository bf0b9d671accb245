"""`keyturn up` ends at every Ctrl-C and SIGTERM, however close to the start of its wait the signal comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import faulthandler, os, random, sys, threading
from queue import SimpleQueue
from keyturn.local.commands import catch_stop_signals

faulthandler.dump_traceback_later(60, exit=True)
sys.setswitchinterval(1e-6)  # the signal hits every step on the way into the wait
pauses = SimpleQueue()

def send():
    while True:
        for _ in range(pauses.get()):
            pass
        os.kill(os.getpid(), int(sys.argv[1]))

threading.Thread(target=send, daemon=True).start()
for turn in range(2000):
    wait = catch_stop_signals()
    pauses.put(random.randrange(400))
    wait()
print("stopped")
"""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_is_not_lost_on_the_way_into_the_wait(number: int) -> None:
    """With an `Event` set by a handler this hung within a second, and `keyturn up` now and then at its stop."""
    program = [sys.executable, "-c", PROGRAM, str(number)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=90, check=False)  # noqa: S603 - our own program
    assert (done.returncode, done.stdout.strip()) == (0, "stopped"), done.stderr
