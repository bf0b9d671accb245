"""Imported credentials, by bcrypt: slow on purpose, so a few at a time, and never in anybody else's way.

1. At most SLOTS hashes are computed at once, half the machine; bcrypt holds no interpreter lock meanwhile. So clients
   with secrets of ours are checked all along, however many values are presented for imported ones.
2. At most PLACES requests are in here, for at most WAIT_SECONDS each before their turn: who finds no place is told
   `ImportedBusy` at once. No request waits for long, and no server runs out of threads.
3. The same value presented for the same version at once is computed once. That a value matched is remembered for
   KNOWN_SECONDS, by a MAC under a key that this process drew: it is a fact about a hash, and no verdict. Whether the
   version still verifies is asked each time, elsewhere.
4. bcrypt looks at 72 bytes; the rest of a longer value is not looked at, as in the system that the hash comes from.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from hashlib import blake2b
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final

from shared.domain.encodings import length_prefixed
from shared.domain.imported import BCRYPT_BYTES, presentable
from shared.ports.keys import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.domain.model import Version

SLOTS: Final = max(1, (os.cpu_count() or 2) // 2)
PLACES: Final = 32
WAIT_SECONDS: Final = 2.0
KNOWN_SECONDS: Final = 60.0
MOST_KNOWN: Final = 10_000
_KEY_BYTES = 32


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
        self._slots = BoundedSemaphore(slots)
        self._key = os.urandom(_KEY_BYTES)
        self._lock = Lock()
        self._inside = 0
        self._running: dict[bytes, Future[bool]] = {}
        self._known: dict[bytes, float] = {}

    def matches(self, secret: str, version: Version) -> bool:
        """Return whether a presented value is the version's; `ImportedBusy` when there is no place for that now."""
        if version.secret_hash is None or not presentable(secret):
            return False
        name = self._named(secret, version)
        if self._monotonic() < self._known.get(name, float("-inf")):
            return True
        future, mine = self._entered(name)
        try:
            if mine:
                self._fulfil(name, future, secret, version.secret_hash)
            return future.result()
        finally:
            with self._lock:
                self._inside -= 1

    def _named(self, secret: str, version: Version) -> bytes:
        data = length_prefixed(version.client_id, version.version_id, version.secret_hash or "", secret)
        return blake2b(data, key=self._key, digest_size=16).digest()

    def _entered(self, name: bytes) -> tuple[Future[bool], bool]:
        with self._lock:
            if self._inside >= PLACES:
                raise ImportedBusy("too many imported credentials are being checked")
            self._inside += 1
            running = self._running.get(name)
            if running is not None:
                return running, False
            mine: Future[bool] = Future()
            self._running[name] = mine
            return mine, True

    def _fulfil(self, name: bytes, future: Future[bool], secret: str, hashed: str) -> None:
        try:
            agreed = self._in_turn(secret.encode("utf-8")[:BCRYPT_BYTES], hashed.encode("ascii"))
        except BaseException as error:
            self._forget(name)
            future.set_exception(error)
            raise
        self._forget(name, agreed=agreed)
        future.set_result(agreed)

    def _in_turn(self, password: bytes, hashed: bytes) -> bool:
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise ImportedBusy("the turn did not come in time")
        try:
            return self._agrees(password, hashed)
        except ValueError:  # a damaged hash: nothing is its value, and the library's text may quote it
            return False
        finally:
            self._slots.release()

    def _forget(self, name: bytes, *, agreed: bool = False) -> None:
        with self._lock:
            del self._running[name]
            if agreed:
                self._known.pop(name, None)
                if len(self._known) >= MOST_KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[name] = self._monotonic() + KNOWN_SECONDS
