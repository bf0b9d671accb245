"""The whole suite on one machine: gateway, delivery of events, scheduler; until it is stopped.

Order at start: bind the port, open what the suite stands on, then answer; so that a port in use, or data that cannot be
read, changes nothing. Nothing that must survive lives in this process: kill it at any line.

What the suite stands on is a `Backend`: a data folder (here) or Google's emulators (emulator_backend.py).
"""

from __future__ import annotations

import http.client
import logging
import os
import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.cli.operator_token import token_path
from keyturn.entry.composition import suite as wiring
from keyturn.entry.config.settings import SettingsError, to_environment
from keyturn.local.copy_detection import Placement, place
from keyturn.local.delivery import Delivery
from keyturn.local.errors import LocalError
from keyturn.local.gateway import open_gateway
from keyturn.local.server import Server
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreUnavailable
from keyturn.private_files import replace_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.entry.composition.suite import Suite
    from keyturn.entry.config.settings import Settings

Worker: TypeAlias = "Callable[[threading.Event], None]"
"""Something that runs in a thread of its own until the event is set."""

_log = logging.getLogger(__name__)
_SWEEP_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Opened:
    """A suite whose store and keys were reached, and what must run beside it."""

    suite: Suite
    workers: Sequence[Worker]


class Backend(Protocol):
    """What a suite on this machine stands on, and how events come back to its doors."""

    def entrance(self, gateway: WSGIApplication, token: str) -> WSGIApplication:
        """Return what answers at the address: the gateway, with or without something in front; `token` opens it."""
        ...

    def opened(self, url: str, token: str) -> AbstractContextManager[Opened]:
        """Open everything for a suite at `url`, while the context lasts; `LocalError` if it cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class FolderBackend:
    """A data folder: embedded store, key file, outbox; `settings_at` gives the settings at an address."""

    settings_at: Callable[[str], Settings]
    sweep_every_seconds: float

    def entrance(self, gateway: WSGIApplication, token: str) -> WSGIApplication:
        """Return the gateway as it is: what delivers here has the token."""
        del token
        return gateway

    @contextmanager
    def opened(self, url: str, token: str) -> Iterator[Opened]:
        """Open the folder; `LocalError` if it cannot be used."""
        suite = open_suite(self.settings_at(url), "The data folder")
        placement = place(suite, os.environ)
        witnessing = partial(_witness, placement, suite, self.sweep_every_seconds)
        try:
            yield Opened(suite, [partial(_deliver, suite, url, token), witnessing])
        finally:
            placement.witness(suite)


@contextmanager
def run_suite(backend: Backend, port: int, sweep_every_seconds: float) -> Iterator[Suite]:
    """Run the suite while the context lasts; 0 takes a free port. `LocalError` says why not."""
    token = secrets.token_urlsafe(32)
    server = Server(port, backend.entrance(open_gateway(token), token))
    try:
        with backend.opened(server.url, token) as opened, _token_file(server.url, token):
            sweeping = partial(_sweep, server.url, token, sweep_every_seconds)
            try:
                with _at_work(server, [*opened.workers, sweeping]):
                    yield opened.suite
            finally:
                opened.suite.close()
    finally:
        server.stop()


@contextmanager
def _at_work(server: Server, workers: Sequence[Worker]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=worker, args=(stop,)) for worker in workers]
    server.start()
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        server.stop()  # before what the doors stand on is closed


def open_suite(settings: Settings, what: str) -> Suite:
    """Return this process's suite, its store and keys reached; `LocalError` names `what` cannot be used."""
    os.environ.update(to_environment(settings))  # what the doors read; nothing in it is a secret
    wiring.use(None)
    try:
        suite = wiring.current()
        _ = suite.databases, suite.keys
    except SettingsError as error:
        raise LocalError(str(error), "Change the setting that it names.") from None
    except (StoreUnavailable, KeyUnavailable) as error:
        raise LocalError(
            f"{what} cannot be used: {error}.", "Nothing was changed. Choose another --data, or restore it."
        ) from None
    return suite


@contextmanager
def _token_file(url: str, token: str) -> Iterator[None]:
    path = token_path(url, os.environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, token)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def write_secret(path: Path, text: str) -> None:
    """Write a line that only its owner may read, in place of what was there."""
    replace_private(path, f"{text}\n".encode("ascii"))


def _deliver(suite: Suite, url: str, token: str, stop: threading.Event) -> None:
    store = cast("SqliteStore", suite.databases.control)
    Delivery(Outbox(store.file), url, headers={"Authorization": f"Bearer {token}"}).run(stop)


def _witness(placement: Placement, suite: Suite, every_seconds: float, stop: threading.Event) -> None:
    while not stop.wait(every_seconds):
        try:
            placement.witness(suite)
        except (OSError, StoreUnavailable):
            _log.warning("the state folder could not be told how far the store has come")


def _sweep(url: str, token: str, every_seconds: float, stop: threading.Event) -> None:
    while not stop.wait(every_seconds):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_SWEEP_TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/grace_sweeper/", headers={"Authorization": f"Bearer {token}"})
            if connection.getresponse().status != http.HTTPStatus.OK:
                _log.error("a sweep failed; the next one tries again")
        except (OSError, http.client.HTTPException):
            _log.exception("a sweep got no answer; the next one tries again")
        finally:
            connection.close()
