"""Servers under gunicorn, one worker each, all pinned to one core. The load comes from another core, one at a time."""

from __future__ import annotations

import base64
import importlib.util
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.rows import NotRunError
from bench.timing import samples
from bench.token_load import Load, UnlikeAnswerError
from bench.token_servers import CLIENT, FOLDER, SECRET, furnish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.token_load import Window

ROUNDS = 21
WARM_UP = 2
CONNECTIONS = 4
THREADS = 4
PACKAGES = ("authlib", "bcrypt", "gunicorn")
_ROOT = Path(__file__).parent.parent
_PATIENCE_SECONDS = 30.0
_FORM = b"grant_type=client_credentials"
_AUTHORIZATION = b"Authorization: Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode())


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to each server: the lines of the head without Host, and the body."""

    head: tuple[bytes, ...] = field(repr=False)
    body: bytes = b""

    def to(self, port: int) -> bytes:
        """Return the bytes of the request to a port."""
        return b"\r\n".join([*self.head, b"Host: 127.0.0.1:%d" % port, b"", self.body])


TOKEN_REQUEST = Request(
    (
        b"POST /token HTTP/1.1",
        _AUTHORIZATION,
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Length: %d" % len(_FORM),
    ),
    _FORM,
)
CHECK_REQUEST = Request((b"GET /check HTTP/1.1", _AUTHORIZATION))
"""What a proxy asks before it passes a request on (nginx `auth_request`)."""


def windows(
    folder: Path, names: Sequence[str], window_seconds: float, request: Request = TOKEN_REQUEST
) -> Mapping[str, list[Window]]:
    """Return the windows of each server, by the name of its factory: one window a round, in turns.

    `NotRunError` on a single core, or without what a server is made of.
    """
    if absent_packages := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise NotRunError(f"Not installed: {', '.join(absent_packages)}.")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:  # noqa: PLR2004 - one for the servers, one for the load
        raise NotRunError("There are no two cores to pin the servers and the load to.")
    furnish(folder)
    with ExitStack() as stack:
        loads = {name: stack.enter_context(_loaded(name, folder, cores[0], request)) for name in names}
        stack.enter_context(_pinned(cores[1]))
        acts = {name: partial(load.window, window_seconds) for name, load in loads.items()}
        return samples(acts, rounds=ROUNDS, warm_up=WARM_UP)


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _loaded(name: str, folder: Path, core: int, request: Request) -> Iterator[Load]:
    port, announced = _free_port(), folder / f"{name}.pid"
    with _serving(name, port, core, {**os.environ, FOLDER: str(folder)}, announced):
        load = Load(port, request.to(port), CONNECTIONS, int(announced.read_text("ascii")))
        try:
            load.open()
            yield load
        finally:
            load.close()


@contextmanager
def _serving(name: str, port: int, core: int, environment: Mapping[str, str], announced: Path) -> Iterator[None]:
    options = ["--workers", "1", "--threads", str(THREADS), "--keep-alive", "60", "--log-level", "error"]
    with _pinned(core):  # a child stays where it was born
        process = subprocess.Popen(  # noqa: S603 - our own program
            [
                sys.executable,
                "-m",
                "gunicorn",
                *options,
                "--bind",
                f"127.0.0.1:{port}",
                f"bench.token_servers:{name}()",
            ],
            cwd=_ROOT,
            env=environment,
        )
    try:
        _wait(process, announced)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], announced: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if announced.exists() and announced.read_text("ascii"):
            return  # its socket was bound before
        time.sleep(0.05)
    raise UnlikeAnswerError


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
