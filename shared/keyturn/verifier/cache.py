"""Positive verdicts in memory, each bound to a revision of its client whose freshness is proven (protocol.md §10).

Rules:

1. A verdict is found by a MAC of what was presented, under a key that this process drew and nobody else has.
2. It holds at most 60 s from the read that it rests on, and never past an edge: the next thing that time alone brings.
3. It holds while its client's revision is known to have been the newest within the staleness bound: by the read itself,
   or by a complete poll of what changed that began while the revision was kept here.
4. Revisions only rise, and a revoked client stays so: what shows less than was seen before is no evidence.
5. Only what was accepted is kept: guesses take no room.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final

from keyturn.domain.bcrypt_import import MOST_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.verifier.shared_reads import Read
    from keyturn.verifier.verdict import Verdict

LONGEST_SECONDS: Final = 60.0
"""How long a verdict may be kept at most."""
SLOW_READ_SECONDS: Final = 5.0
"""A verdict that was reached so long after its read began is given and not kept: polls count on that."""
OFFSET_SECONDS: Final = 2.0
"""How uncertain the offset to the store's clock may be: the tolerance at a window's edge (protocol.md §6)."""
RENEWED_SECONDS: Final = 1.0
"""How old a kept verdict's `now` may grow."""
MOST_CLIENTS: Final = 200_000
MOST_VERDICTS: Final = 200_000
OF_SECRET: Final = "\0s"  # noqa: S105 - the name of a kind
"""What stands between a client's id and what was presented: a secret, or a version's id (OF_VERSION).

No id and nothing that is kept has the first of its characters in it, so no two are named alike.
"""
OF_VERSION: Final = "\0v"
_KEY_BYTES = 32
_NEVER = float("-inf")


@dataclass(slots=True)
class Known:
    """A client's revision as it is known here; times are of the process's monotonic clock."""

    revision: int
    read_at: float
    """When the newest read that showed this revision began."""
    kept_at: float
    """Since when polls look after it."""
    final: bool
    over: bool = False
    """A newer revision was seen: nothing that rests on this one holds."""
    keys: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class _Entry:
    known: Known
    verdict: Verdict = field(repr=False)
    began: float
    """When the read that it rests on began: the store's clock then showed `read_time` at the latest."""
    read_time: datetime
    until: float
    renew_at: float


class VerdictCache:
    """Verdicts and revisions of one process. Any number of threads may use it; finding takes no lock."""

    def __init__(self, bound_seconds: float, monotonic: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._bound = bound_seconds
        self._monotonic = monotonic
        self._key = random(_KEY_BYTES)
        self._lock = Lock()
        self._entries: dict[bytes, _Entry] = {}
        self._known: dict[str, Known] = {}
        self._polled = _NEVER

    def found(self, client_id: str, presented: str, kind: str = OF_SECRET) -> Verdict | None:
        """Return the verdict that is kept for what was presented and still holds, or None."""
        if len(presented) > MOST_CHARACTERS:  # nothing so long is ever accepted
            return None
        now = self._monotonic()
        entry = self._entries.get(self._named(client_id, kind, presented))
        if entry is None or now >= entry.until:
            return None
        # The poll is looked at before what it may have ended: the other way round a poll between the two looks would
        # vouch for what it has just found to be over.
        polled = self._polled
        known = entry.known
        read_at = known.read_at
        if known.over:
            return None
        bound = self._bound
        if now >= read_at + bound and (known.kept_at >= polled or now >= polled + bound):
            return None
        return entry.verdict if now < entry.renew_at else self._renewed(entry, now)

    def keep(
        self, client_id: str, presented: str, kind: str, verdict: Verdict, read: Read, edge: datetime | None
    ) -> None:
        """Keep an accepted verdict that rests on a read; `edge` is when time alone next brings something."""
        now = self._monotonic()
        if now - read.began > SLOW_READ_SECONDS or read.ended - read.began > OFFSET_SECONDS:
            return
        until = read.began + LONGEST_SECONDS
        if edge is not None:
            until = min(until, read.began + (edge - read.read_time).total_seconds())
        with self._lock:
            known = self._known.get(client_id)
            if known is not None and not known.over and known.revision == revision_of(read):
                key = self._named(client_id, kind, presented)
                if key not in self._entries:
                    known.keys = (*known.keys, key)
                    self._make_room()
                renew_at = now + RENEWED_SECONDS
                self._entries[key] = _Entry(known, verdict, read.began, read.read_time, until, renew_at)

    def learn(self, client_id: str, read: Read, *, final: bool) -> bool:
        """Take note of the revision that a read shows; False if more than that was seen before: no evidence then."""
        revision = revision_of(read)
        with self._lock:
            known = self._known.get(client_id)
            if known is not None and (revision < known.revision or (known.final and not final)):
                return False
            if known is None or revision > known.revision or known.over:
                self._replace(client_id, Known(revision, read.began, self._monotonic(), final))
            else:
                known.read_at = max(known.read_at, read.began)
            return True

    def changed(self, client_id: str, revision: int | None, *, final: bool) -> None:
        """Take note of a revision that a poll found: what rests on an older one is over; on any, where it is None."""
        with self._lock:
            known = self._known.get(client_id)
            if revision is None:
                self._end(known)
            elif known is not None and revision > known.revision:
                # Nothing is kept under the new revision before a read of our own has shown it.
                self._replace(client_id, Known(revision, _NEVER, self._monotonic(), final or known.final))

    def polled(self, began: float) -> None:
        """Take note that everything which changed before `began` has been passed to `changed`."""
        self._polled = max(self._polled, began)

    def forget(self) -> None:
        """Drop every verdict, and keep the revisions: the clocks no longer agree."""
        with self._lock:
            for known in self._known.values():
                known.over = True
            self._entries.clear()

    def _named(self, client_id: str, kind: str, presented: str) -> bytes:
        # Half a surrogate pair has no UTF-8, and the codec's error would carry what was presented along.
        data = (client_id + kind + presented).encode("utf-8", "surrogatepass")
        return blake2b(data, key=self._key, digest_size=16).digest()

    def _renewed(self, entry: _Entry, now: float) -> Verdict:
        entry.verdict = replace(entry.verdict, now=entry.read_time + timedelta(seconds=now - entry.began))
        entry.renew_at = now + RENEWED_SECONDS
        return entry.verdict

    def _replace(self, client_id: str, known: Known) -> None:
        self._end(self._known.pop(client_id, None))
        if len(self._known) >= MOST_CLIENTS:
            self._end(self._known.pop(next(iter(self._known))))
        self._known[client_id] = known

    def _end(self, known: Known | None) -> None:
        if known is not None:
            known.over = True
            for key in known.keys:
                self._entries.pop(key, None)

    def _make_room(self) -> None:
        if len(self._entries) >= MOST_VERDICTS:
            key = next(iter(self._entries))
            known = self._entries.pop(key).known
            known.keys = tuple(other for other in known.keys if other != key)


def revision_of(read: Read) -> int:
    """Return the revision of the client that a read shows; 0 where there is none."""
    revision = (read.data or {}).get("revision")
    return revision if isinstance(revision, int) else 0
