"""Detect retired secrets: a caller that presents one has an old copy, or found one.

1. A request pays for a length comparison and for a note in a short list, whatever was wrong with its value. So neither
   its answer nor its time reveals anything. The rest runs in a thread of its own, a second later and at its own pace.
2. The thread tries at most PER_TURN refused values per second, taking clients in turn, against the last five retired
   versions of each client. It compares receipt keys, so it calls no key service. Placeholders fill up missing versions:
   an unknown client costs as many derivations as a known one.
3. A hit writes a line to the log, for an alert, and a document to the database usage, with ids only. The value
   itself is written nowhere and forgotten after it was tried. Values that exceed the list are never noted.
4. Imported versions have no receipt key, so they are not tried.

On Cloud Run a process has little or no processor time between requests: the thread goes on with the next request.
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
from keyturn.records.codec import readable, to_data
from keyturn.records.retired_use import RETIRED_USE_RETENTION, RetiredUse, retired_use_path
from keyturn.verifier.candidates import PLACEHOLDER, PLACEHOLDER_ID
from keyturn.verifier.matching import match

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keyturn.ports.store import Store
    from keyturn.verifier.verdict import Verdict

_log = logging.getLogger("keyturn")

PRESENTED: Final = "a retired secret was presented"
"""The words that an alert searches for in the log. Ids follow them."""
VERSIONS_TRIED: Final = 5
TURN_SECONDS: Final = 1.0
PER_TURN: Final = 5
MOST_CLIENTS: Final = 64
MOST_OF_CLIENT: Final = 2
QUIET_SECONDS: Final = 600.0
"""How long a process logs nothing more about the same version. The document goes on counting."""
_MOST_QUIET = 1000
_ATTEMPTS = 5
_LENGTHS = frozenset({SECRET_LENGTH, SCANNABLE_LENGTH})


def in_thread(run: Callable[[], None]) -> None:
    """Run in a daemon thread, which does not keep the process from ending."""
    threading.Thread(target=run, name="keyturn-retired-secrets", daemon=True).start()


class RetiredSecretDetector:
    """An observer of one process's verifier. Any number of threads may call it.

    It reads `control` and writes to `usage`. `background` runs the thread that tries values, `sleep` paces it.
    """

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
        self._quiet_until: dict[str, float] = {}

    # --- in the request's thread -------------------------------------------------------------------------------------

    def __call__(self, verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        """Note one refused value if there is room."""
        del caller
        # Only the length is looked at here, for every refusal alike. The form is checked later, in the background.
        if verdict.accepted or len(secret) not in _LENGTHS:
            return
        with self._lock:
            if not self._note(client_id, secret) or self._running:
                return
            self._running = True
        try:
            self._background(self._run)
        except RuntimeError:  # no thread can be started: the next refusal tries again
            self._running = False
            raise

    def _note(self, client_id: str, secret: str) -> bool:
        values = self._waiting.get(client_id)
        if values is None and len(self._waiting) < MOST_CLIENTS:
            self._waiting[client_id] = [secret]
            return True
        if values is not None and len(values) < MOST_OF_CLIENT:
            values.append(secret)
            return True
        return False

    # --- in the background -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._sleep(TURN_SECONDS)
            self.turn()
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return

    def turn(self) -> None:
        """Try the values of one turn."""
        for client_id, secret in self._take_values():
            try:
                self._try(client_id, secret)
            except Exception as error:  # noqa: BLE001 - no caller waits for the error, and the other values go on
                # Without the error's text, which may contain the value.
                _log.warning("a refused value could not be tried: %s", type(error).__name__)

    def _take_values(self) -> Sequence[tuple[str, str]]:
        values = []
        with self._lock:
            for client_id in list(self._waiting)[:PER_TURN]:
                remaining = self._waiting.pop(client_id)
                values.append((client_id, remaining.pop(0)))
                if remaining:  # the client goes to the end of the queue
                    self._waiting[client_id] = remaining
        return values

    def _try(self, client_id: str, secret: str) -> None:
        if not well_formed(secret):
            return
        known_id = _identifier_or_placeholder(client_id)
        versions = [*self._retired_versions(known_id), *[PLACEHOLDER] * VERSIONS_TRIED][:VERSIONS_TRIED]
        version = match(secret, known_id, versions)
        if version is not None:
            self._record(version)
            self._alert(version)

    def _retired_versions(self, client_id: str) -> Sequence[Version]:
        path = paths.client(client_id)
        names = (self._control.get([path])[path].data or {}).get("recently_retired", ())
        if not isinstance(names, (list, tuple)):
            return ()
        documents = self._control.get(paths.version(client_id, str(name)) for name in names).documents.values()
        return [version for version in readable(Version, documents) if version.state is VersionState.RETIRED]

    def _alert(self, version: Version) -> None:
        now = self._monotonic()
        if now < self._quiet_until.get(version.version_id, float("-inf")):
            return
        self._quiet_until.pop(version.version_id, None)
        if len(self._quiet_until) >= _MOST_QUIET:
            del self._quiet_until[next(iter(self._quiet_until))]
        self._quiet_until[version.version_id] = now + QUIET_SECONDS
        because = version.retired_because.value if version.retired_because else ""
        _log.error("%s: version %s of client %s (%s)", PRESENTED, version.version_id, version.client_id, because)

    def _record(self, version: Version) -> None:
        path, tried = retired_use_path(version.version_id), None
        for _ in range(_ATTEMPTS):
            snapshot = self._usage.get([path])
            # A damaged record is replaced: the count starts again.
            stored, now = next(iter(readable(RetiredUse, [snapshot[path]])), None), snapshot.read_time
            if tried is not None and stored == tried:
                return  # the commit with an unknown outcome was applied
            tried = stored.again(now) if stored else _first_use(version, now)
            try:
                self._usage.commit([put(snapshot[path], to_data(tried))])
            except LostRace:
                continue
            return


def _identifier_or_placeholder(client_id: str) -> str:
    try:
        return identifier(client_id)
    except InvalidRequest:
        return PLACEHOLDER_ID


def _first_use(version: Version, now: datetime) -> RetiredUse:
    return RetiredUse(version.client_id, version.version_id, 1, now, now, now + RETIRED_USE_RETENTION)
