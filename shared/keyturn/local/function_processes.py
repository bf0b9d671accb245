"""Starts each function as a process of its own, for `keyturn up --emulators`, and ends them all.

The processes get their settings from the environment, as on Google Cloud, and nothing else of ours: no other variable
of the caller, no argument but their names, and no secret. The operator's token and the webhooks' secret stay in the
front, and the keys in the KMS emulator.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from logging import getLogger
from typing import TYPE_CHECKING

from keyturn.entry.config.reference import SECTIONS
from keyturn.entry.config.settings import PREFIX, to_environment
from keyturn.entry.functions import FUNCTIONS
from keyturn.local.child_process import start_child, stop_child
from keyturn.local.errors import LocalError
from keyturn.local.function_host import SOURCE
from keyturn.local.server import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from threading import Event

    from keyturn.entry.config.settings import Settings

_READY_SECONDS = 60.0
_WATCH_SECONDS = 0.5
_SYSTEM = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "TZ")
_SETTINGS = frozenset(setting.variable for section in SECTIONS if section.owner for setting in section.settings)
_POLICIES = f"{PREFIX}POLICY_"
_log = getLogger("keyturn.local")


@dataclass(frozen=True, slots=True)
class FunctionProcesses:
    """The processes of all functions, and the process that started them."""

    host: subprocess.Popen[bytes]

    def ports(self) -> Mapping[str, int]:
        """Wait until every function answers, and return their ports. `LocalError` if one does not start."""
        line = self.host.stdout.readline() if self.host.stdout else b""
        if not line:
            raise _not_started()
        ports: dict[str, int] = json.loads(line)
        with ThreadPoolExecutor(len(ports)) as pool:
            if not all(pool.map(_answers, ports.values())):
                raise _not_started()
        return ports

    def watch(self, stop: Event) -> None:
        """Report the end of the process that starts functions again."""
        while not stop.wait(_WATCH_SECONDS):
            if self.host.poll() is not None:
                _log.error("functions that end are not started again from now on: restart keyturn up")
                return


@contextmanager
def start_functions(settings: Settings, environment: Mapping[str, str]) -> Iterator[FunctionProcesses]:
    """Start all functions with `settings`, and end them with the context. `LocalError` where there is no clone."""
    if not SOURCE.exists():
        raise LocalError(
            "The functions' source is not installed.", "--emulators runs the functions of a clone of the repository."
        )
    host = start_child(
        [sys.executable, "-P", "-m", "keyturn.local.function_host", *FUNCTIONS],
        environment=function_environment(settings, environment),
        stdout=subprocess.PIPE,
        stderr=None,
    )
    try:
        yield FunctionProcesses(host)
    finally:
        stop_child(host)
        if host.stdout is not None:
            host.stdout.close()


def function_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the functions: what a program needs, the caller's settings, and `settings`."""
    inherited = {
        name: value
        for name, value in environment.items()
        if name in _SYSTEM or name in _SETTINGS or name.startswith(_POLICIES)
    }
    return {**inherited, **to_environment(settings)}


def _answers(port: int) -> bool:
    """Return whether a function answers. Its socket accepts before it does, so this waits for the answer itself."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=_READY_SECONDS)) as connection:
        try:
            connection.request("GET", "/ready")  # no function has this path: any answer will do
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
    return True


def _not_started() -> LocalError:
    return LocalError("A function does not start.", "The lines above say why.")
