"""Honeytokens: a secret that was retired is a trap. Who presents it has an old copy, or found one.

1. A request pays for a look at a length and a note in a small list, whatever was wrong with what it presented: its
   answer and its time say nothing of this. All else is done by a thread of its own, a second later and at its own pace.
2. That thread tries PER_TURN refused values a second at most, of clients in turn, each against the client's last five
   retired versions, by receipt keys: no call to a key service. Dummies fill up what there is less of, so that it works
   as long for a client that has none, or is none.
3. A hit is a line in the log (for an alert) and a document in the database usage, with ids only. The value is in
   neither, and is forgotten as soon as it was tried; when there are more than can be tried, the rest is never noted.
4. Imported versions have no receipt key: they are not tried.

On Cloud Run a process has little or no processor between requests: the thread goes on with the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import SECRET_LENGTH, identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.model import Version, VersionState
from keyturn.domain.secret_format import SCANNABLE_LENGTH, well_formed
from keyturn.ports.store import LostRace, put
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.retired_use import RETIRED_USE_RETENTION, RetiredUse, retired_use_path
from keyturn.verifier.candidates import DUMMY, NOBODY_ID
from keyturn.verifier.matching import resembles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keyturn.ports.store import Store
    from keyturn.verifier.verdict import Verdict

_log = logging.getLogger("keyturn")

PRESENTED: Final = "a retired secret was presented"
"""What an alert looks for in the log; ids follow."""
TRIED: Final = 5
TURN_SECONDS: Final = 1.0
PER_TURN: Final = 5
MOST_CLIENTS: Final = 64
MOST_OF_CLIENT: Final = 2
QUIET_SECONDS: Final = 600.0
"""How long a process says nothing more of the same version; the document counts on."""
_MOST_QUIET = 1000
_ATTEMPTS = 5
_LENGTHS = frozenset({SECRET_LENGTH, SCANNABLE_LENGTH})


def in_thread(run: Callable[[], None]) -> None:
    """Run beside everything else; it does not keep the process from ending."""
    threading.Thread(target=run, name="keyturn-honeytoken", daemon=True).start()


class Honeytoken:
    """An observer of one process's verifier. Any number of threads may tell it."""

    def __init__(
        self,
        control: Store,
        usage: Store,
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None] = in_thread,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._control = control
        self._usage = usage
        self._monotonic = monotonic
        self._background = background
        self._sleep = sleep
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {}
        self._running = False
        self._quiet: dict[str, float] = {}

    # --- in the request's way ----------------------------------------------------------------------------------------

    def __call__(self, verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        """Take note of one refused value, if there is room."""
        del caller
        if verdict.accepted or len(secret) not in _LENGTHS:
            return
        with self._lock:
            if not self._noted(client_id, secret) or self._running:
                return
            self._running = True
        try:
            self._background(self._run)
        except RuntimeError:  # no thread is to be had now: the next refusal asks again
            self._running = False
            raise

    def _noted(self, client_id: str, secret: str) -> bool:
        values = self._waiting.get(client_id)
        if values is None and len(self._waiting) < MOST_CLIENTS:
            self._waiting[client_id] = [secret]
            return True
        if values is not None and len(values) < MOST_OF_CLIENT:
            values.append(secret)
            return True
        return False

    # --- beside it ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._sleep(TURN_SECONDS)
            self.turn()
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return

    def turn(self) -> None:
        """Try what one turn may try."""
        for client_id, secret in self._taken():
            try:
                self._try(client_id, secret)
            except Exception as error:  # noqa: BLE001 - nobody waits here for an error, and one value holds up no other
                # Not the error's text: it may carry what must not be in a log.
                _log.warning("a refused value could not be tried: %s", type(error).__name__)

    def _taken(self) -> Sequence[tuple[str, str]]:
        taken = []
        with self._lock:
            for client_id in list(self._waiting)[:PER_TURN]:
                values = self._waiting.pop(client_id)
                taken.append((client_id, values.pop(0)))
                if values:  # behind all others
                    self._waiting[client_id] = values
        return taken

    def _try(self, client_id: str, secret: str) -> None:
        if not well_formed(secret):
            return
        known_id = _known_form(client_id)
        padded = [*self._retired(known_id), *[DUMMY] * TRIED][:TRIED]
        for version in [version for version in padded if resembles(secret, version, known_id)]:
            self._remember(version)
            self._tell(version)

    def _retired(self, client_id: str) -> Sequence[Version]:
        path = paths.client(client_id)
        names = (self._control.get([path])[path].data or {}).get("recently_retired", ())
        if not isinstance(names, (list, tuple)):
            return ()
        found = self._control.get(paths.version(client_id, str(name)) for name in names).documents.values()
        versions = [from_data(Version, item.data) for item in found if item.data]
        return [version for version in versions if version.state is VersionState.RETIRED]

    def _tell(self, version: Version) -> None:
        now = self._monotonic()
        if now < self._quiet.get(version.version_id, float("-inf")):
            return
        self._quiet.pop(version.version_id, None)
        if len(self._quiet) >= _MOST_QUIET:
            del self._quiet[next(iter(self._quiet))]
        self._quiet[version.version_id] = now + QUIET_SECONDS
        because = version.retired_because.value if version.retired_because else ""
        _log.error("%s: version %s of client %s (%s)", PRESENTED, version.version_id, version.client_id, because)

    def _remember(self, version: Version) -> None:
        for _ in range(_ATTEMPTS):
            try:
                self._count(version)
            except LostRace:
                continue
            return

    def _count(self, version: Version) -> None:
        path = retired_use_path(version.version_id)
        snapshot = self._usage.get([path])
        known = snapshot[path].data
        use = from_data(RetiredUse, known).again(snapshot.read_time) if known else _first(version, snapshot.read_time)
        self._usage.commit([put(snapshot[path], to_data(use))])


def _known_form(client_id: str) -> str:
    try:
        return identifier(client_id)
    except InvalidRequest:
        return NOBODY_ID


def _first(version: Version, now: datetime) -> RetiredUse:
    return RetiredUse(version.client_id, version.version_id, 1, now, now, now + RETIRED_USE_RETENTION)
