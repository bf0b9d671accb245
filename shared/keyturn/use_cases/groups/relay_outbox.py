"""Publish the log: what the service has said goes to outside relays, too, from the stored bytes and after the commit.

    said ─▶ a post in the outbox, in the same commit ─▶ due ─▶ taken ─▶ published at each relay that has not decided
                                                         ▲                    │
                                                         └── later, back-off ─┴─ accepted or refused by all: over

1. The commit is won before any byte leaves: a post is written beside the message that it is about.
2. A post holds no message but its place. Publishing again means the same bytes, so an unknown outcome is simply tried
   again (mls.md, "State and concurrency").
3. Taking a post moves its due time, in a commit: of several workers one publishes it, and one that dies in between
   leaves it to be due again.
4. What every relay refuses, and what one has not answered for 30 days, is not tried again: a dead note of it stays for
   30 days more.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from keyturn.ports.relay import PublishResult
from keyturn.ports.store import Create, Delete, LostRace, Query, Replace, StoreError
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.ports.relay import Relays
    from keyturn.ports.store import Data, Document, Snapshot, Store, Write

_log = logging.getLogger(__name__)

PAGE = 100
TAKEN_LASTS = timedelta(minutes=5)
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
TRIED_FOR = timedelta(days=30)
"""As long as commits stay in the log (upkeep.py): a device that reads at a relay may have been away as long."""
NOTE_LASTS = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RelayPost:
    """An event that waits for relays: the path of the document that holds it, and which relays (URLs) have decided."""

    source: str
    at: datetime
    due_at: datetime
    attempts: int = 0
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    dead: bool = False

    def with_answer(self, url: str, outcome: PublishResult) -> RelayPost:
        """Return the post after a relay's answer."""
        if outcome is PublishResult.ACCEPTED:
            return replace(self, accepted=(*self.accepted, url))
        return replace(self, refused=(*self.refused, url)) if outcome is PublishResult.REFUSED else self

    def waits_for(self, url: str) -> bool:
        """Return whether a relay has not decided yet."""
        return url not in {*self.accepted, *self.refused}

    def rescheduled(self, now: datetime) -> RelayPost:
        """Return the post as one to be tried again: twice as long a pause each time, up to an hour."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.attempts, 16))
        return replace(self, due_at=now + pause, attempts=self.attempts + 1)

    def as_dead(self, now: datetime) -> RelayPost:
        """Return the post as a dead note."""
        return replace(self, dead=True, due_at=now + NOTE_LASTS)


def relay_post(event: str, source: str, now: datetime) -> Create:
    """Return the write that has an event (JSON, at the path `source`) published; for the commit that stores it."""
    return Create(paths.relay_post(_id_of(event)), to_data(RelayPost(source, now, now)))


def _id_of(event: str) -> str:
    return cast("str", json.loads(event)["id"])


@dataclass(frozen=True, slots=True)
class _Taken:
    """A post that this process publishes now: its path, and the event as it is stored."""

    path: str
    post: RelayPost
    event: str


@dataclass(frozen=True, slots=True)
class PublishOutbox:
    """The use case that empties the relays' outbox; called after a commit, and by every sweep."""

    store: Store
    relays: Relays

    def __call__(self) -> int:
        """Publish what is due, at most PAGE posts; how many were tried. No trouble of relays or store is raised."""
        try:
            now = self.store.get([]).read_time
            found = self.store.query(Query(paths.RELAY_OUTBOX, order_by="due_at", at_most=now, limit=PAGE))
            return self._publish(list(self._take(found))) if found else 0
        except StoreError as error:
            _log.warning("the relays' outbox waits for its store: %s", type(error).__name__)
            return 0

    # --- taking ------------------------------------------------------------------------------------------------------

    def _take(self, found: Sequence[Document]) -> Iterator[_Taken]:
        posts = {item.path: from_data(RelayPost, item.data) for item in found if item.data is not None}
        wanted = [paths.FROZEN, *(item.source for item in posts.values())]
        snapshot = self.store.get(dict.fromkeys([*wanted, *posts]))
        if snapshot[paths.FROZEN].exists:  # a copy sends nothing (use_cases/freeze.py)
            return
        for path, item in posts.items():
            version, event = snapshot[path].version, _stored(snapshot, item, path)
            if version is None or from_data(RelayPost, cast("Data", snapshot[path].data)) != item:
                continue  # somebody else has it
            if event is None or item.dead:
                self._won(Delete(path, version))
            elif self._won(Replace(path, to_data(replace(item, due_at=snapshot.read_time + TAKEN_LASTS)), version)):
                yield _Taken(path, item, event)

    def _won(self, write: Write) -> bool:
        try:
            self.store.commit([write])
        except LostRace:
            return False
        return True

    # --- publishing --------------------------------------------------------------------------------------------------

    def _publish(self, taken: Sequence[_Taken]) -> int:
        answered = {item.path: item.post for item in taken}
        for url in self.relays.urls:
            asked = [item for item in taken if item.post.waits_for(url)]
            outcomes = self.relays.publish(url, [item.event for item in asked]) if asked else ()
            for item, outcome in zip(asked, outcomes, strict=True):
                answered[item.path] = answered[item.path].with_answer(url, outcome)
        for path, known in answered.items():
            self._note(path, known)
        return len(taken)

    def _note(self, path: str, answered: RelayPost) -> None:
        snapshot = self.store.get([path])
        version, now = snapshot[path].version, snapshot.read_time
        if version is None:  # another worker thought that this one had died, and was done first
            return
        waits = any(answered.waits_for(url) for url in self.relays.urls)
        if not waits and answered.accepted:
            self._won(Delete(path, version))
        elif waits and now - answered.at < TRIED_FOR:
            self._won(Replace(path, to_data(answered.rescheduled(now)), version))
        else:
            _log.error("an event that the service said was taken by no relay, or not by all; it is not tried again")
            self._won(Replace(path, to_data(answered.as_dead(now)), version))


def _stored(snapshot: Snapshot, item: RelayPost, path: str) -> str | None:
    """Return the event that a post is about, as it is stored; None if it has ended."""
    event = cast("str", (snapshot[item.source].data or {}).get("event") or "")
    return event if event and paths.relay_post(_id_of(event)) == path else None
