"""The process behind `keyturn up --emulators` that runs each function as a process of its own (function_processes.py).

    keyturn up ──▶ function host ──▶ admin_proof, client_token, … (one process each)

1. It imports what the functions need, opens a socket for each of them, and prints their ports as one JSON object.
   Then it forks the functions: all of them start in the time of one, and share the memory of the imports. It has
   no thread and no connection that a fork could copy (docs/adr/0019).
2. A function starts as on Google Cloud: functions-framework loads `main.py`, and FUNCTION_TARGET names the function.
3. A function that ends is reported and started again. Meanwhile its requests wait in its socket's queue.
4. SIGTERM ends all of them. The caller's end does too (child_process.py).
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from keyturn.local.server import HOST, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path(__file__).parents[3] / "main.py"
"""The source that functions are deployed from. An installed package has none."""
RESTART_SECONDS = 1.0
"""The pause before a function is started again, so that one that cannot start does not take all of the machine."""
_QUEUE = 128
_SLOW_IMPORTS = (
    "functions_framework",
    "keyturn.adapters.firestore.change_feed",
    "keyturn.adapters.firestore.requests",
    "keyturn.adapters.google_kms.rpc",
    "keyturn.adapters.mls.groups",
    "keyturn.adapters.pubsub_bus",
    "keyturn.entry.functions",
)
_LOG_FORMAT = "%(asctime)s {} %(levelname)s %(name)s %(message)s"
_SIGNALS = (signal.SIGTERM, signal.SIGCHLD)

_log = logging.getLogger("keyturn.local")


def main() -> None:
    """Run the functions that the arguments name, until SIGTERM."""
    # Blocked signals wait until `sigwait` takes them: none is lost between two of its calls.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # an ignored signal would not wait
    logging.basicConfig(format=_LOG_FORMAT.format("functions"), level=logging.WARNING)
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)
    listeners = {name: socket.create_server((HOST, 0), backlog=_QUEUE) for name in sys.argv[1:]}
    print(json.dumps({name: listener.getsockname()[1] for name, listener in listeners.items()}), flush=True)  # noqa: T201 - read by our starter
    os.dup2(2, 1)  # our starter reads no further line: the output of functions belongs to the log
    FunctionHost(listeners).run()


class FunctionHost:
    """One process for each function, by the socket that it answers at."""

    def __init__(self, listeners: Mapping[str, socket.socket]) -> None:
        self._listeners = listeners
        self._names: dict[int, str] = {}  # of each process

    def run(self) -> None:
        """Run all functions until SIGTERM."""
        for name in self._listeners:
            self._start(name)
        while signal.sigwait(_SIGNALS) != signal.SIGTERM:
            self._restart_ended()
        self._stop()

    def _start(self, name: str, pause_seconds: float = 0) -> None:
        process = os.fork()
        if process == 0:
            self._become(name, pause_seconds)
        self._names[process] = name

    def _become(self, name: str, pause_seconds: float) -> NoReturn:
        """Be the function from now on. `os._exit`, because the code around the fork is the host's."""
        status = 1
        try:
            logging.basicConfig(format=_LOG_FORMAT.format(name), level=logging.WARNING, force=True)
            for other in self._listeners.keys() - {name}:
                self._listeners[other].close()
            time.sleep(pause_seconds)
            serve_function(name, self._listeners[name])
            status = 0
        except BaseException:  # noqa: BLE001 - the last resort: a function that cannot start says why
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _restart_ended(self) -> None:
        # One SIGCHLD may stand for several processes.
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                name = self._names.pop(ended[0])
                code = os.waitstatus_to_exitcode(ended[1])
                _log.error("the function %s has ended (exit status %d) and is started again", name, code)
                self._start(name, RESTART_SECONDS)

    def _stop(self) -> None:
        for process in self._names:
            os.kill(process, signal.SIGTERM)
        for process in self._names:
            os.waitpid(process, 0)


def serve_function(name: str, listener: socket.socket) -> None:
    """Serve one function in this process until SIGTERM, which the caller has blocked."""
    import functions_framework  # noqa: PLC0415 - imported before the fork

    from keyturn.entry.composition.suite import current  # noqa: PLC0415 - the same

    os.environ["FUNCTION_TARGET"] = name
    server = Server(listener, functions_framework.create_app(name, str(SOURCE)))  # type: ignore[no-untyped-call]  # it has no types
    server.start()
    signal.sigwait({signal.SIGTERM})
    server.stop()
    current().close()


if __name__ == "__main__":
    main()
