"""The whole suite on one machine: gateway, delivery of events, scheduler; until it is stopped.

Order at start: bind the port, open the data, then answer; so that a port in use, or data that cannot be read, changes
nothing. Nothing that must survive lives in this process: kill it at any line.
"""

from __future__ import annotations

import http.client
import logging
import os
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from admin.operator_token import token_path
from local.delivery import Delivery
from local.errors import LocalError
from local.gateway import open_gateway
from local.placement import Placement, place
from local.server import Server
from shared.adapters.outbox import Outbox
from shared.entry import wiring
from shared.entry.settings import SettingsError, to_environment
from shared.ports.keys import KeyUnavailable
from shared.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shared.adapters.store_sqlite import SqliteStore
    from shared.entry.settings import Settings
    from shared.entry.wiring import Suite

_log = logging.getLogger(__name__)
_SWEEP_TIMEOUT_SECONDS = 60


@contextmanager
def running(port: int, sweep_every_seconds: float, settings_at: Callable[[str], Settings]) -> Iterator[Suite]:
    """Run the suite while the context lasts; `settings_at` gives its settings at its URL. `LocalError` says why not."""
    token = secrets.token_urlsafe(32)
    server = Server(port, open_gateway(token))
    suite = _opened(settings_at(server.url))
    placement = place(suite, os.environ)
    token_file = _write_token(server.url, token)
    stop = threading.Event()
    workers = [
        threading.Thread(target=_deliver, args=(suite, server.url, token, stop)),
        threading.Thread(target=_sweep, args=(server.url, token, sweep_every_seconds, stop)),
        threading.Thread(target=_witness, args=(placement, suite, sweep_every_seconds, stop)),
    ]
    server.start()
    for worker in workers:
        worker.start()
    try:
        yield suite
    finally:
        stop.set()
        for worker in workers:
            worker.join()
        server.stop()
        placement.witness(suite)
        token_file.unlink(missing_ok=True)


def _opened(settings: Settings) -> Suite:
    os.environ.update(to_environment(settings))  # what the doors read; nothing in it is a secret
    wiring.suite.cache_clear()
    try:
        suite = wiring.suite()
        _ = suite.databases, suite.keys
    except SettingsError as error:
        raise LocalError(str(error), "Change the setting that it names.") from None
    except (StoreUnavailable, KeyUnavailable) as error:
        raise LocalError(
            f"The data folder cannot be used: {error}.", "Nothing was changed. Choose another --data, or restore it."
        ) from None
    return suite


def _write_token(url: str, token: str) -> Path:
    path = token_path(url, os.environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return path


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
