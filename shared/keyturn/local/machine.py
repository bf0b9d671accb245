"""The whole suite on one machine: gateway, delivery of events and scheduler, until it is stopped.

It starts in this order: bind the port, open the backend, then answer requests. So nothing changes if the port is in use
or the data cannot be read. All state is in the backend, so the process may be killed at any line.

A `Backend` is a data folder (here) or Google's emulators (emulator_backend.py).
"""

from __future__ import annotations

import http.client
import logging
import os
import secrets
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.adapters.sqlite.schema import NO_SPACE, lacks_space
from keyturn.cli.operator_token import token_path
from keyturn.entry.composition import suite as wiring
from keyturn.entry.config.settings import SettingsError, to_environment
from keyturn.local.copy_detection import DataFolder, identify_folder
from keyturn.local.delivery import Delivery
from keyturn.local.errors import LocalError, unusable, unwritable_state
from keyturn.local.gateway import open_gateway
from keyturn.local.server import Server
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreFull, StoreUnavailable
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
"""A function that runs in a thread of its own until the event is set."""

_log = logging.getLogger(__name__)
_SWEEP_TIMEOUT_SECONDS = 60
_TOKEN_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class OpenBackend:
    """A suite with reachable store and keys, and the workers that must run beside it."""

    suite: Suite
    workers: Sequence[Worker]


class Backend(Protocol):
    """Store, keys and message bus of a suite on this machine, and the way in which events reach its functions."""

    def application(self, token: str) -> WSGIApplication:
        """Return the application to serve: the gateway, which wants `token`, perhaps with webhooks in front."""
        ...

    def open(self, url: str, token: str) -> AbstractContextManager[OpenBackend]:
        """Open everything for a suite at `url` while the context lasts. `LocalError` if it cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class FolderBackend:
    """A data folder with embedded store, key file and outbox. `settings_at(url)` returns the suite's settings."""

    settings_at: Callable[[str], Settings]
    sweep_every_seconds: float

    def application(self, token: str) -> WSGIApplication:
        """Return the gateway to the functions, which all run in this process."""
        return open_gateway(token)

    @contextmanager
    def open(self, url: str, token: str) -> Iterator[OpenBackend]:
        """Open the folder. `LocalError` if it cannot be used."""
        suite = open_suite(self.settings_at(url), "The data folder")
        data_folder = _identified(suite)
        recorder = partial(_record_versions, data_folder, suite, self.sweep_every_seconds)
        try:
            yield OpenBackend(suite, [partial(_deliver, suite, url, token), recorder])
        finally:
            data_folder.try_to_record_version(suite)


@contextmanager
def run_suite(backend: Backend, port: int, sweep_every_seconds: float) -> Iterator[Suite]:
    """Run the suite while the context lasts. Port 0 means any free port. `LocalError` if the suite cannot start."""
    token = secrets.token_urlsafe(32)
    server = Server(port, backend.application(token))
    try:
        with backend.open(server.url, token) as open_backend, _token_file(server.url, token) as writers:
            sweeper = partial(_sweep, server.url, token, sweep_every_seconds)
            try:
                with _serve(server, [*open_backend.workers, *writers, sweeper]):
                    yield open_backend.suite
            finally:
                open_backend.suite.close()
    finally:
        server.stop()


@contextmanager
def _serve(server: Server, workers: Sequence[Worker]) -> Iterator[None]:
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
        server.stop()  # before the caller closes store and keys, which requests in progress need


def is_disk_full(suite: Suite) -> bool:
    """Return whether the disk of a data folder is full, and log it. Such a suite checks credentials only."""
    folder = suite.settings.data
    if suite.settings.cloud is not None or folder is None or not lacks_space(folder):
        return False
    _log.error("the disk is full: credentials are checked, and nothing can be written until there is space again")
    return True


def _identified(suite: Suite) -> DataFolder:
    """Return the suite's data folder. `LocalError` if it is new, copied or restored, and this cannot be recorded."""
    try:
        return identify_folder(suite, os.environ)
    except StoreFull as error:
        raise unusable("The data folder", error) from None
    except OSError as error:
        is_full = error.errno in NO_SPACE
        cause = StoreFull("its disk is full") if is_full else StoreUnavailable("this user may not write to it")
        raise unusable("The data folder", cause) from None


def open_suite(settings: Settings, what: str) -> Suite:
    """Return this process's suite after reaching its store and keys. `LocalError` says that `what` cannot be used."""
    os.environ.update(to_environment(settings))  # the functions read it, and it holds no secret
    wiring.use(None)
    try:
        suite = wiring.current()
        _ = suite.databases, suite.keys
        if suite.settings.sign_key_file is not None:
            what = "KEYTURN_SIGN_KEY_FILE"
            suite.verification.token_signers[suite.settings.token_algorithm].current()
    except SettingsError as error:
        raise LocalError(f"{error}.", "Change that setting.") from None
    except (StoreUnavailable, KeyUnavailable) as error:
        raise unusable(what, error) from None
    return suite


@contextmanager
def _token_file(url: str, token: str) -> Iterator[Sequence[Worker]]:
    """Write the operator's token. If the disk is full, provide a worker that writes it once there is space."""
    path = token_path(url, os.environ)
    try:
        _write_token(path, token)
        workers: Sequence[Worker] = ()
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise unwritable_state() from None
        _log.error("the disk of the state folder is full: the operator's commands wait until there is space again")
        workers = [partial(_write_token_later, path, token)]
    try:
        yield workers
    finally:
        path.unlink(missing_ok=True)


def _write_token(path: Path, token: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, token)


def _write_token_later(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(_TOKEN_RETRY_SECONDS):
        with suppress(OSError):
            return _write_token(path, token)
    return None


def write_secret(path: Path, text: str) -> None:
    """Write a line of text to a private file (0600), replacing its content."""
    replace_private(path, f"{text}\n".encode("ascii"))


def _deliver(suite: Suite, url: str, token: str, stop: threading.Event) -> None:
    store = cast("SqliteStore", suite.databases.control)
    Delivery(Outbox(store.file), url, headers={"Authorization": f"Bearer {token}"}).run(stop)


def _record_versions(data_folder: DataFolder, suite: Suite, every_seconds: float, stop: threading.Event) -> None:
    while not stop.wait(every_seconds):
        data_folder.try_to_record_version(suite)


def _sweep(url: str, token: str, every_seconds: float, stop: threading.Event) -> None:
    while not stop.wait(every_seconds):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_SWEEP_TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/grace_sweeper/", headers={"Authorization": f"Bearer {token}"})
            if connection.getresponse().status != http.HTTPStatus.OK:
                _log.error("a sweep failed, the next one will try again")
        except (OSError, http.client.HTTPException):
            _log.exception("a sweep got no response, the next one will try again")
        finally:
            connection.close()
