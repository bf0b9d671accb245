"""A probe that checks whether an already running Firestore emulator posts its events to this process.

That depends only on the address the emulator was started with (`--functions_emulator`), which cannot be queried.
Without events rotations still complete, because the sweeper publishes pending ones, but each waits for a sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from logging import getLogger
from typing import TYPE_CHECKING

from keyturn.local.emulator_webhooks import PROBE
from keyturn.local.firestore_control import register_trigger
from keyturn.ports.store import Create, Delete, StoreError

if TYPE_CHECKING:
    from threading import Event

    from keyturn.entry.config.settings import Cloud
    from keyturn.ports.store import Store

_LOG = getLogger(__name__)
PATTERN = "service_probe/{name}"
PATH = "service_probe/here"
TIMEOUT_SECONDS = 20.0
"""The emulator itself tries to post an event for that long."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class TriggerProbe:
    """Probes once, when the suite at `address` (`address:port`) is up. `event_arrived` is set when an event arrives."""

    store: Store
    event_arrived: Event
    address: str
    timeout_seconds: float = TIMEOUT_SECONDS

    def run(self, stop: Event) -> None:
        """Write a document and wait for its event. Log an error if there is none."""
        try:
            self._write()
        except StoreError:
            _LOG.warning("could not check whether the Firestore emulator's events arrive here")
            return
        seconds = 0.0
        while not self.event_arrived.wait(_POLL_SECONDS):
            seconds += _POLL_SECONDS
            if stop.is_set():
                return
            if seconds >= self.timeout_seconds:
                _LOG.error(
                    "no events arrive from the running Firestore emulator, so each rotation waits for the sweeper."
                    " Start the emulator with --functions_emulator %s, and keyturn with the same port.",
                    self.address,
                )
                return

    def _write(self) -> None:
        document = self.store.get([PATH])[PATH]
        if document.version is None:
            self.store.commit([Create(PATH, {})])
            document = self.store.get([PATH])[PATH]
        if document.version is not None:
            self.store.commit([Delete(PATH, document.version)])


def register_probe(cloud: Cloud, secret: str) -> None:
    """Register the probe's trigger in the emulator. `LocalError` if the emulator refuses."""
    register_trigger(
        cloud.firestore_emulator or "", cloud.project, f"{PROBE}-{secret}", PATTERN, database=cloud.control
    )
