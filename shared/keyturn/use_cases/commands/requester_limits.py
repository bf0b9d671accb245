"""Limits: how often one person asks for rotations, in a sliding hour that is kept without a hot document (ADR 0016).

A person's requests stand in SHARDS documents, `rates/{user}-{shard}`. A request is noted in one of them, chosen by its
event's id: so that somebody who asks for many clients at once does not fight with themselves over one document.

1. All shards are read in the command's own snapshot; its commit rests on the one that it writes, and on no other.
2. So within a shard requests are counted one by one, and only what runs at the very same moment in other shards may go
   unseen. Once the limit is reached, whoever reads afterwards is refused: an hour holds at most OVERSHOOT more.
3. The person is counted, whichever of their devices, groups and clients it is. Who that is, the roster of the group
   that the request names tells: it is read beforehand, to know which shards to read, and again with them.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from keyturn.domain.guards import recent_of
from keyturn.ports.store import LostRace, Snapshot, put
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.ports.store import Data, Write
    from keyturn.records.roster import Roster

SHARDS = 16
OVERSHOOT = SHARDS - 1
"""By how many an hour's requests may exceed the limit: one in flight in each other shard than the last that counted."""
KEPT = timedelta(hours=2)
"""How long a shard is kept after its last request: longer than the window, whatever two clocks say."""


def shards(roster: Roster | None, npub: str) -> list[str]:
    """Return the paths of all that the requests of who has that key stand in; none for a stranger to the group."""
    member = roster.member(npub) if roster else None
    return _all(member.user) if member else []


def recent(snapshot: Snapshot, user: str | None) -> tuple[datetime, ...]:
    """Return when a person asked for rotations within the last hour, oldest first; nothing for a stranger.

    `LostRace` if their shards were not read: it was another person's key when that was looked up.
    """
    if user is None:
        return ()
    if not known(snapshot, user):
        raise LostRace("the key is another person's by now")
    found = [moment for path in _all(user) for moment in _moments(snapshot[path].data)]
    return tuple(sorted(recent_of(found, snapshot.read_time)))


def known(snapshot: Snapshot, user: str | None) -> bool:
    """Return whether all that a person's requests stand in was read; of a stranger's there is nothing to know."""
    return user is None or snapshot.documents.keys() >= set(_all(user))


def counted(snapshot: Snapshot, user: str, event_id: str) -> Write:
    """Return the write that counts a person's request, now."""
    document, now = snapshot[_own(user, event_id)], snapshot.read_time
    kept = [*recent_of(_moments(document.data), now), now]
    return put(document, {"recent": kept, "expires_at": now + KEPT})


def only_glanced_at(user: str | None, event_id: str) -> set[str]:
    """Return the paths that were read and no commit rests on: all shards but the request's own (rule 1)."""
    return set(_all(user)) - {_own(user, event_id)} if user else set()


def shard_of(event_id: str) -> int:
    """Return the shard that a request by this event is noted in."""
    return hashlib.sha256(event_id.encode("ascii")).digest()[0] % SHARDS


def _all(user: str) -> list[str]:
    return [paths.rate(user, shard) for shard in range(SHARDS)]


def _own(user: str, event_id: str) -> str:
    return paths.rate(user, shard_of(event_id))


def _moments(data: Data | None) -> Sequence[datetime]:
    return cast("Sequence[datetime]", data["recent"]) if data else ()
