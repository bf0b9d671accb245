"""Rate limit per requester: how many rotations one person requests within an hour (ADR 0016).

A person's requests are recorded in SHARDS documents, `rates/{user}-{shard}`. The event's id selects the shard, so
that several requests of one person at the same time do not compete for one document.

1. All shards are read in the command's own snapshot. Its commit rests on the shard that it writes, and on no other.
2. So requests within one shard are counted exactly, and only requests that run at the same moment in other shards can
   be missed. Once the limit is reached, every later read sees it: an hour has at most OVERSHOOT requests too many.
3. The limit is per person, over all of their devices, groups and clients. The roster of the group that the request
   names says which person has the key. It is read before, to know which shards to read, and again with the shards.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.guards import recent_of
from keyturn.ports.store import LostRace, Snapshot, update
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.ports.store import Document, Write
    from keyturn.records.roster import Roster

SHARDS = 16
OVERSHOOT = SHARDS - 1
"""By how many an hour's requests can exceed the limit: one in progress in each shard but the last one counted."""
KEPT = timedelta(hours=2)
"""How long a shard is kept after its last request: longer than the window, with room for two clocks that differ."""


def shards(roster: Roster | None, npub: str) -> list[str]:
    """Return the paths of all shards of the user with that key, or none if the key is not in the roster."""
    member = roster.member(npub) if roster else None
    return _all(member.user) if member else []


def recent(snapshot: Snapshot, user: str | None) -> tuple[datetime, ...]:
    """Return when a user requested rotations within the last hour, oldest first, or nothing for an unknown user.

    `LostRace` if the user's shards were not read: the key belonged to another user in the earlier read.
    """
    if user is None:
        return ()
    # Without some of the shards the count would be too low.
    if not all_read(snapshot, user):
        raise LostRace("the key belongs to another user now")
    moments = [moment for path in _all(user) for moment in _moments(snapshot[path])]
    return tuple(sorted(recent_of(moments, snapshot.read_time)))


def all_read(snapshot: Snapshot, user: str | None) -> bool:
    """Return whether all shards of a user were read; an unknown user has none."""
    return user is None or snapshot.documents.keys() >= set(_all(user))


def count_request(snapshot: Snapshot, user: str, event_id: str) -> Write:
    """Return the write that counts a user's request, now."""
    document, now = snapshot[_own(user, event_id)], snapshot.read_time
    moments = [*recent_of(_moments(document), now), now]
    return update(document, {"recent": moments, "expires_at": now + KEPT})


def unprotected_paths(user: str | None, event_id: str) -> set[str]:
    """Return the paths of the shards that no commit rests on: all but the request's own (rule 1)."""
    return set(_all(user)) - {_own(user, event_id)} if user else set()


def shard_of(event_id: str) -> int:
    """Return the shard in which a request by this event is counted."""
    return hashlib.sha256(event_id.encode("ascii")).digest()[0] % SHARDS


def _all(user: str) -> list[str]:
    return [paths.rate(user, shard) for shard in range(SHARDS)]


def _own(user: str, event_id: str) -> str:
    return paths.rate(user, shard_of(event_id))


def _moments(document: Document) -> Sequence[datetime]:
    return document.times("recent") if document.exists else ()
