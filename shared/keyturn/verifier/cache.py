"""Keep accepted verdicts in memory, each bound to a revision that is proven to be fresh (docs/protocol.md §10).

1. A verdict is found by a MAC of the presented value, under a random key that exists only in this process.
2. A verdict is kept for at most 60 s from the read that it rests on, and never past the client's next deadline.
3. A verdict counts only while its client's revision is proven to have been the newest one within the staleness bound:
   by the read itself, or by a complete poll for changes that began while the revision was already known here.
4. Revisions only rise, and a revoked client stays revoked: a read that shows less than an earlier one is not believed.
5. Only accepted verdicts are kept, so that guesses use no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final

from keyturn.domain.imported_secret import MOST_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.verifier.shared_reads import Read
    from keyturn.verifier.verdict import Verdict

LONGEST_SECONDS: Final = 60.0
"""How long a verdict is kept at most."""
SLOW_READ_SECONDS: Final = 5.0
"""A verdict that took longer than this since its read began is returned and not kept. Polls rely on that."""
OFFSET_SECONDS: Final = 2.0
"""How uncertain the offset to the store's clock may be: the tolerance between two clocks (docs/protocol.md §6)."""
RENEW_SECONDS: Final = 1.0
"""How old the `now` of a kept verdict may become."""
MOST_CLIENTS: Final = 200_000
MOST_VERDICTS: Final = 200_000
OF_SECRET: Final = "\0s"  # noqa: S105 - the name of a kind
"""Separates a client's id from a presented secret, as OF_VERSION separates it from a version's id.

No id contains the character NUL, so two different pairs never give the same text.
"""
OF_VERSION: Final = "\0v"
_KEY_BYTES = 32
_NEVER = float("-inf")


@dataclass(slots=True)
class _Revision:
    """The newest revision of a client that this process has seen. Times are of its monotonic clock."""

    number: int
    read_at: float
    """When the newest read that showed this revision began."""
    known_since: float
    """Polls that began later than this have looked for changes after it."""
    final: bool
    is_outdated: bool = False
    """A newer revision was seen: no verdict that rests on this one counts any more."""
    keys: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class _Entry:
    revision: _Revision
    verdict: Verdict = field(repr=False)
    began: float
    """When the read that the verdict rests on began. The store's clock showed `read_time` no earlier than then."""
    read_time: datetime
    until: float
    renew_at: float


class VerdictCache:
    """The verdicts and revisions of one process. Any number of threads may use it. `find` takes no lock."""

    def __init__(self, bound_seconds: float, monotonic: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._bound = bound_seconds
        self._monotonic = monotonic
        self._key = random(_KEY_BYTES)
        self._lock = Lock()
        self._entries: dict[bytes, _Entry] = {}
        self._revisions: dict[str, _Revision] = {}
        self._last_poll = _NEVER

    def find(self, client_id: str, presented: str, kind: str = OF_SECRET) -> Verdict | None:
        """Return the kept verdict on a presented value if it still counts, and None otherwise."""
        if len(presented) > MOST_CHARACTERS:  # no value of that length is ever accepted
            return None
        now = self._monotonic()
        entry = self._entries.get(self._digest(client_id, kind, presented))
        if entry is None or now >= entry.until:
            return None
        # The order matters without a lock. If `is_outdated` were read first, a poll in between could mark the revision
        # outdated and then serve as the proof that it is fresh.
        last_poll = self._last_poll
        revision = entry.revision
        read_at = revision.read_at
        if revision.is_outdated:
            return None
        bound = self._bound
        if now >= read_at + bound and (revision.known_since >= last_poll or now >= last_poll + bound):
            return None
        return entry.verdict if now < entry.renew_at else self._renew(entry, now)

    def keep(
        self, client_id: str, presented: str, kind: str, verdict: Verdict, read: Read, deadline: datetime | None
    ) -> None:
        """Keep an accepted verdict that rests on a read. `deadline` is when time alone next changes the client."""
        now = self._monotonic()
        if now - read.began > SLOW_READ_SECONDS or read.ended - read.began > OFFSET_SECONDS:
            return
        until = read.began + LONGEST_SECONDS
        if deadline is not None:
            until = min(until, read.began + (deadline - read.read_time).total_seconds())
        with self._lock:
            revision = self._revisions.get(client_id)
            if revision is not None and not revision.is_outdated and revision.number == _revision_of(read):
                key = self._digest(client_id, kind, presented)
                if key not in self._entries:
                    revision.keys = (*revision.keys, key)
                    self._make_room()
                renew_at = now + RENEW_SECONDS
                self._entries[key] = _Entry(revision, verdict, read.began, read.read_time, until, renew_at)

    def note_read(self, client_id: str, read: Read, *, final: bool) -> bool:
        """Note the revision that a read shows. Return False if a newer one was seen before, so that it proves nothing.

        `final` says that the read shows a revoked client.
        """
        number = _revision_of(read)
        with self._lock:
            revision = self._revisions.get(client_id)
            if revision is not None and (number < revision.number or (revision.final and not final)):
                return False
            if revision is None or number > revision.number or revision.is_outdated:
                self._replace(client_id, _Revision(number, read.began, self._monotonic(), final))
            else:
                revision.read_at = max(revision.read_at, read.began)
            return True

    def note_change(self, client_id: str, number: int | None, *, final: bool) -> None:
        """Note a revision that a poll or the change stream found: verdicts that rest on an older one end.

        With `number` None (a damaged document) all verdicts of the client end.
        """
        with self._lock:
            revision = self._revisions.get(client_id)
            if number is None:
                self._expire(revision)
            elif revision is not None and number > revision.number:
                # No verdict is kept under the new revision before a read of our own has shown it.
                self._replace(client_id, _Revision(number, _NEVER, self._monotonic(), final or revision.final))

    def note_poll(self, began: float) -> None:
        """Note that every change before `began` has been passed to `note_change`."""
        self._last_poll = max(self._last_poll, began)

    def forget(self) -> None:
        """Drop every verdict and keep the revisions, because the clocks no longer agree."""
        with self._lock:
            for revision in self._revisions.values():
                revision.is_outdated = True
            self._entries.clear()

    def _digest(self, client_id: str, kind: str, presented: str) -> bytes:
        # A lone surrogate has no UTF-8 encoding, and the codec's error would contain the presented value.
        data = (client_id + kind + presented).encode("utf-8", "surrogatepass")
        return blake2b(data, key=self._key, digest_size=16).digest()

    def _renew(self, entry: _Entry, now: float) -> Verdict:
        entry.verdict = replace(entry.verdict, now=entry.read_time + timedelta(seconds=now - entry.began))
        entry.renew_at = now + RENEW_SECONDS
        return entry.verdict

    def _replace(self, client_id: str, revision: _Revision) -> None:
        self._expire(self._revisions.pop(client_id, None))
        if len(self._revisions) >= MOST_CLIENTS:
            self._expire(self._revisions.pop(next(iter(self._revisions))))
        self._revisions[client_id] = revision

    def _expire(self, revision: _Revision | None) -> None:
        if revision is not None:
            revision.is_outdated = True
            for key in revision.keys:
                self._entries.pop(key, None)

    def _make_room(self) -> None:
        if len(self._entries) >= MOST_VERDICTS:
            key = next(iter(self._entries))
            revision = self._entries.pop(key).revision
            revision.keys = tuple(other for other in revision.keys if other != key)


def _revision_of(read: Read) -> int:
    """Return the revision of the client that a read shows; 0 where there is no client."""
    number = (read.data or {}).get("revision")
    return number if isinstance(number, int) else 0
