"""Check imported credentials by hashes that are slow by design, without slowing other clients down.

1. At most SLOTS hashes are computed at a time, on half of the processors, by threads with a low priority where the
   system supports it (Linux). The hash functions release the interpreter lock meanwhile, so clients with native
   secrets are served as fast as ever, however many values are presented for imported ones.
2. At most PLACES requests wait here, each for at most WAIT_SECONDS until its hash starts. A request that finds no place
   gets `ImportedBusy` at once. So no request waits for long, and a server never runs out of threads.
3. If the same value is presented for the same version at the same time, it is hashed once. A match is remembered for
   MEMORY_SECONDS, by a MAC under a random key of this process. That memory is a fact about a hash and no verdict:
   whether the version still verifies is decided elsewhere, for every request.
4. bcrypt uses the first 72 bytes of a value and ignores the rest, as the system did that the hash comes from.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import length_prefixed
from keyturn.domain.imported_secret import is_imported, presentable
from keyturn.ports.effects import wait
from keyturn.ports.keys import KeyUnavailable
from keyturn.verifier.hash_functions import check_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.domain.model import Version
    from keyturn.ports.effects import Random, Wait

SLOTS: Final = max(1, (os.cpu_count() or 2) // 2)
PLACES: Final = 32
WAIT_SECONDS: Final = 2.0
WORK_SECONDS: Final = 2.5
"""How long a request waits for its hash after it started. Both waits together are below the staleness bound."""
MEMORY_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 10_000
_KEY_BYTES = 32
_NICENESS = 10
_NEVER = float("-inf")


class ImportedBusy(KeyUnavailable):
    """Too many imported credentials are being checked at once, so there is no verdict now."""


class ImportedChecker:
    """Checks values against the hashes of imported versions. Any number of threads may use it."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        check: Callable[[bytes, str], bool] = check_hash,
        slots: int = SLOTS,
        *,
        random: Random = os.urandom,
        wait: Wait = wait,
        pool: Executor | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._check = check
        # The pool starts its threads with the first hash.
        self._pool = pool or ThreadPoolExecutor(slots, "keyturn-imported", initializer=_lower_priority)
        self._wait = wait
        self._key = random(_KEY_BYTES)
        self._lock = threading.Lock()
        self._places_taken = 0
        self._running: dict[bytes, Future[bool]] = {}
        self._matched_until: dict[bytes, float] = {}

    def match(self, secret: str, candidates: Sequence[Version]) -> Version | None:
        """Return the imported candidate that a value belongs to. `ImportedBusy` when there is no place now."""
        imported = (version for version in candidates if is_imported(version))
        return next((version for version in imported if self.matches(secret, version)), None)

    def matches(self, secret: str, version: Version) -> bool:
        """Return whether a value belongs to an imported version. `ImportedBusy` when there is no place now."""
        if version.secret_hash is None or not presentable(secret):
            return False
        digest = self._digest(secret, version)
        if self._monotonic() < self._matched_until.get(digest, _NEVER):
            return True
        future = self._take_place(digest, secret, version.secret_hash)
        try:
            return self._await(digest, future)
        finally:
            with self._lock:
                self._places_taken -= 1

    def _digest(self, secret: str, version: Version) -> bytes:
        data = length_prefixed(version.client_id, version.version_id, version.secret_hash or "", secret)
        return blake2b(data, key=self._key, digest_size=16).digest()

    def _take_place(self, digest: bytes, secret: str, hashed: str) -> Future[bool]:
        password = secret.encode("utf-8")
        with self._lock:
            if self._places_taken >= PLACES:
                raise ImportedBusy("too many imported credentials are being checked")
            if digest not in self._running:
                self._running[digest] = self._pool.submit(self._compute, digest, password, hashed)
            self._places_taken += 1
            return self._running[digest]

    def _await(self, digest: bytes, future: Future[bool]) -> bool:
        try:
            self._wait(future, WAIT_SECONDS)
            return future.result()
        except CancelledError:
            raise ImportedBusy("the hash did not start in time") from None
        except TimeoutError:
            if self._withdraw(digest, future):
                raise ImportedBusy("the hash did not start in time") from None
        try:
            self._wait(future, WORK_SECONDS)
        except TimeoutError:  # the hash goes on, and a match is remembered for the next request
            raise ImportedBusy("the machine is too busy") from None
        return future.result()

    def _withdraw(self, digest: bytes, future: Future[bool]) -> bool:
        """Cancel a hash that has not started, for all requests that wait for it. A later request submits it again."""
        if not future.cancel():
            return False
        with self._lock:
            if self._running.get(digest) is future:
                del self._running[digest]
        return True

    def _compute(self, digest: bytes, password: bytes, hashed: str) -> bool:
        matched = False
        try:
            matched = self._check(password, hashed)
        except ValueError:  # a damaged hash has no value; the error's text is dropped because it may quote the hash
            matched = False
        finally:
            self._finish(digest, matched=matched)
        return matched

    def _finish(self, digest: bytes, *, matched: bool) -> None:
        with self._lock:
            del self._running[digest]
            if matched:
                self._matched_until.pop(digest, None)
                if len(self._matched_until) >= MOST_REMEMBERED:
                    del self._matched_until[next(iter(self._matched_until))]
                self._matched_until[digest] = self._monotonic() + MEMORY_SECONDS


def _lower_priority() -> None:
    # On Linux a thread has its own priority (setpriority(2), notes). Elsewhere this would slow the whole process down.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
