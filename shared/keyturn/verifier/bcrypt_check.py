"""Imported credentials, by bcrypt: slow on purpose, so a few at a time, and never in anybody else's way.

1. At most SLOTS hashes are computed at once, half the machine, by threads that give way to all others where the system
   lets them (Linux); bcrypt holds no interpreter lock meanwhile. So clients with secrets of ours are checked all along,
   however many values are presented for imported ones.
2. At most PLACES requests are in here, for at most WAIT_SECONDS each before their turn: who finds no place is told
   `ImportedBusy` at once. No request waits for long, and no server runs out of threads.
3. The same value presented for the same version at once is computed once. That a value matched is remembered for
   KNOWN_SECONDS, by a MAC under a key that this process drew: it is a fact about a hash, and no verdict. Whether the
   version still verifies is asked each time, elsewhere.
4. bcrypt looks at 72 bytes; the rest of a longer value is not looked at, as in the system that the hash comes from.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from keyturn.domain.bcrypt_import import BCRYPT_BYTES, presentable
from keyturn.domain.encodings import length_prefixed
from keyturn.ports.keys import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.domain.model import Version

SLOTS: Final = max(1, (os.cpu_count() or 2) // 2)
PLACES: Final = 32
WAIT_SECONDS: Final = 2.0
WORK_SECONDS: Final = 2.5
"""How long a request waits for its hash once its turn has come: both waits are within the staleness bound."""
KNOWN_SECONDS: Final = 60.0
MOST_KNOWN: Final = 10_000
_KEY_BYTES = 32
_NICENESS = 10
_NEVER = float("-inf")


class ImportedBusy(KeyUnavailable):
    """Too many imported credentials are being checked at once: no verdict now."""


def by_bcrypt(password: bytes, hashed: bytes) -> bool:
    """Return whether bcrypt agrees; `password` has at most 72 bytes. ValueError for a hash that is none."""
    import bcrypt  # noqa: PLC0415 - few verifiers ever need it

    return bcrypt.checkpw(password, hashed)


class Imported:
    """Checks values against the hashes of imported versions. Any number of threads may use it."""

    def __init__(
        self, monotonic: Callable[[], float], agrees: Callable[[bytes, bytes], bool] = by_bcrypt, slots: int = SLOTS
    ) -> None:
        self._monotonic = monotonic
        self._agrees = agrees
        # It starts its threads when it is first given work.
        self._pool = ThreadPoolExecutor(slots, "keyturn-imported", initializer=_give_way)
        self._key = os.urandom(_KEY_BYTES)
        self._lock = threading.Lock()
        self._inside = 0
        self._running: dict[bytes, Future[bool]] = {}
        self._known: dict[bytes, float] = {}

    def matches(self, secret: str, version: Version) -> bool:
        """Return whether a presented value is the version's; `ImportedBusy` when there is no place for that now."""
        if version.secret_hash is None or not presentable(secret):
            return False
        name = self._named(secret, version)
        if self._monotonic() < self._known.get(name, _NEVER):
            return True
        future = self._entered(name, secret, version.secret_hash)
        try:
            return self._awaited(name, future)
        finally:
            with self._lock:
                self._inside -= 1

    def _named(self, secret: str, version: Version) -> bytes:
        data = length_prefixed(version.client_id, version.version_id, version.secret_hash or "", secret)
        return blake2b(data, key=self._key, digest_size=16).digest()

    def _entered(self, name: bytes, secret: str, hashed: str) -> Future[bool]:
        password = secret.encode("utf-8")[:BCRYPT_BYTES]
        with self._lock:
            if self._inside >= PLACES:
                raise ImportedBusy("too many imported credentials are being checked")
            if name not in self._running:
                self._running[name] = self._pool.submit(self._compute, name, password, hashed.encode("ascii"))
            self._inside += 1
            return self._running[name]

    def _awaited(self, name: bytes, future: Future[bool]) -> bool:
        try:
            return future.result(WAIT_SECONDS)
        except CancelledError:
            raise ImportedBusy("the turn did not come in time") from None
        except TimeoutError:
            if self._withdrawn(name, future):
                raise ImportedBusy("the turn did not come in time") from None
        try:
            return future.result(WORK_SECONDS)
        except TimeoutError:  # what comes of it is remembered all the same
            raise ImportedBusy("the machine is too busy") from None

    def _withdrawn(self, name: bytes, future: Future[bool]) -> bool:
        """Take back what has not begun, for all who wait for it; whoever asks next begins anew."""
        if not future.cancel():
            return False
        with self._lock:
            if self._running.get(name) is future:
                del self._running[name]
        return True

    def _compute(self, name: bytes, password: bytes, hashed: bytes) -> bool:
        agreed = False
        try:
            agreed = self._agrees(password, hashed)
        except ValueError:  # a damaged hash: nothing is its value, and the library's text may quote it
            agreed = False
        finally:
            self._done(name, agreed=agreed)
        return agreed

    def _done(self, name: bytes, *, agreed: bool) -> None:
        with self._lock:
            del self._running[name]
            if agreed:
                self._known.pop(name, None)
                if len(self._known) >= MOST_KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[name] = self._monotonic() + KNOWN_SECONDS


def _give_way() -> None:
    # On Linux a thread has a priority of its own (setpriority(2), notes); elsewhere it would be the whole process's.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
