"""Programs that this one starts and that never outlive it, not even after `kill -9`.

A program runs in a process group of its own, so Ctrl-C reaches only us. The whole group is ended when the program's
standard input closes, which happens when we stop it or die in any way.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STOP_SECONDS = 10.0
# The shell's background child waits for the end of standard input, and then ends the group. It keeps no output open, so
# the program's end is the end of its output. The shell itself turns into the program by exec, and so has its id.
_WRAPPER = 'exec 3<&0; group=$$; (read -r _ <&3; kill -- "-$group") >/dev/null 2>&1 & exec 3<&-; exec "$@" </dev/null'


def start_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdout: int = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program. It inherits our environment unless it is given one."""
    return subprocess.Popen(  # noqa: S603 - the callers' programs are ours or found on PATH
        ["/bin/sh", "-c", _WRAPPER, "keyturn", *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def stop_child(process: subprocess.Popen[bytes]) -> None:
    """End a program and its children by SIGTERM, and wait. After some seconds it is killed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
