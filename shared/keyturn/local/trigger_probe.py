"""A probe: it tells whether a Firestore emulator that somebody else started posts its events here.

Only the address that it was started with (`--functions_emulator`) decides that, and it tells nobody. Without events
rotations still arrive, since the sweeper publishes what waits; but each waits for a sweep.
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
PATIENCE_SECONDS = 20.0
"""As long as the emulator itself tries to post an event."""
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class TriggerProbe:
    """Asks once, when the suite at `address` (`address:port`) is up; `heard` is set when an event has arrived."""

    store: Store
    heard: Event
    address: str
    patience_seconds: float = PATIENCE_SECONDS

    def run(self, stop: Event) -> None:
        """Write, and wait for the event of it; say so if there is none."""
        try:
            self._write()
        except StoreError:
            _LOG.warning("the Firestore emulator could not be asked whether its events arrive here")
            return
        waited = 0.0
        while not self.heard.wait(_LOOK_SECONDS):
            waited += _LOOK_SECONDS
            if stop.is_set():
                return
            if waited >= self.patience_seconds:
                _LOG.error(
                    "no event of the given Firestore emulator arrives here: rotations wait for the sweeper each time."
                    " Start it with --functions_emulator %s, and this with the same port.",
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
    """Have the emulator post the probe's writes, too; `LocalError` if it does not."""
    register_trigger(
        cloud.firestore_emulator or "", cloud.project, f"{PROBE}-{secret}", PATTERN, database=cloud.control
    )
