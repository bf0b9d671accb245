"""Publish the message log at outside Nostr relays, from the stored bytes and after the commit.

    event ─▶ post in the outbox, same commit ─▶ due ─▶ claimed ─▶ published at each relay without an answer so far
                                                 ▲                   │
                                                 └─ retry, back-off ─┴─ accepted or rejected by all: finished

Rules (docs/protocol.md §8):

1. The commit comes first: no byte leaves before it. A post is written in the same commit as its message.
2. A post contains no message, only the path of one. Publishing again sends the same bytes, so an unknown outcome is
   simply retried.
3. A worker claims a post by a commit that moves its due time. Of several workers one publishes it. If that worker dies,
   the post is due again later.
4. A post that every relay rejected, or that some relay did not answer for 30 days, is not retried. It is marked as dead
   and deleted 30 days later.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain.record import Record
from keyturn.ports.relay import PublishResult
from keyturn.ports.store import Create, Query, StoreError, delete, put
from keyturn.records import paths
from keyturn.records.codec import salvage, to_data
from keyturn.records.schema import kind_of
from keyturn.use_cases.optimistic import write_if_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.relay import Relays
    from keyturn.ports.store import Delete, Document, Replace, Snapshot, Store

_log = logging.getLogger(__name__)

PAGE = 100
CLAIM_LIFETIME = timedelta(minutes=5)
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
RETRY_PERIOD = timedelta(days=30)
"""As long as commits stay in the log: a device that reads at a relay may be offline for as long."""
DEAD_POST_RETENTION = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RelayPost(Record):
    """An event that waits for relays.

    `source` is the path of the document that contains the event. `accepted` and `refused` list the relays (URLs) that
    have answered.
    """

    source: str
    at: datetime
    due_at: datetime
    attempts: int = 0
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    dead: bool = False

    def with_answer(self, url: str, result: PublishResult) -> RelayPost:
        """Return the post after a relay's answer. An unknown result leaves the relay unanswered."""
        if result is PublishResult.ACCEPTED:
            return replace(self, accepted=(*self.accepted, url))
        return replace(self, refused=(*self.refused, url)) if result is PublishResult.REFUSED else self

    def waits_for(self, url: str) -> bool:
        """Return whether a relay has not answered yet."""
        return url not in {*self.accepted, *self.refused}

    def rescheduled(self, now: datetime) -> RelayPost:
        """Return the post for another attempt. Each pause is twice as long as the one before, up to LONGEST_PAUSE."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.attempts, 16))
        return replace(self, due_at=now + pause, attempts=self.attempts + 1)

    def as_dead(self, now: datetime) -> RelayPost:
        """Return the post marked as dead. It stays visible for DEAD_POST_RETENTION."""
        return replace(self, dead=True, due_at=now + DEAD_POST_RETENTION)


def relay_post(event: str, source: str, now: datetime) -> Create:
    """Return the write that queues an event (JSON) for relays. The same commit stores the event at `source`."""
    return Create(paths.relay_post(_id_of(event)), to_data(RelayPost(source, now, now)))


def _id_of(event: str) -> str:
    return str(json.loads(event)["id"])


@dataclass(frozen=True, slots=True)
class _Claim:
    """A post that this process publishes now: its path, and the stored event."""

    path: str
    post: RelayPost
    event: str


@dataclass(frozen=True, slots=True)
class PublishOutbox:
    """Publishes the posts that are due. Runs after a commit and in every sweep."""

    store: Store
    relays: Relays
    environment: Environment

    def __call__(self) -> int:
        """Publish at most PAGE posts that are due. Return how many were tried.

        Errors of relays and of the store are logged and not raised: the caller's own commit has succeeded.
        """
        try:
            now = self.store.get([]).read_time
            due = self.store.query(Query(paths.RELAY_OUTBOX, order_by="due_at", at_most=now, limit=PAGE))
            return self._publish(list(self._claim(due))) if due else 0
        except StoreError as error:
            _log.warning("the relay outbox is delayed, its store failed: %s", type(error).__name__)
            return 0

    # --- claim -------------------------------------------------------------------------------------------------------

    def _claim(self, due: Sequence[Document]) -> Iterator[_Claim]:
        posts = {item.path: salvage(RelayPost, item.data) for item in due if item.data is not None}
        damaged = {path for path, post in posts.items() if post.damaged or kind_of(post.source) is None}
        posts = {path: post for path, post in posts.items() if path not in damaged}
        wished = [paths.FROZEN, *(item.source for item in posts.values()), *posts]
        snapshot = self.store.get(dict.fromkeys(wished))
        if snapshot[paths.FROZEN].exists:  # a copied store sends nothing (use_cases/groups/freeze.py)
            return
        for document in (item for item in due if item.path in damaged):
            # Its event stays in the log, where devices find it.
            _log.error("a damaged post is deleted: %s", document.path)
            self._try_write(delete(document))
        for path, post in posts.items():
            document, event = snapshot[path], _stored_event(snapshot, post, path)
            if document.data is None or salvage(RelayPost, document.data) != post:
                continue  # another worker has claimed it
            if event is None or post.dead:
                self._try_write(delete(document))
                continue
            claimed_post = replace(post, due_at=snapshot.read_time + CLAIM_LIFETIME)
            if self._try_write(put(document, to_data(claimed_post))):
                yield _Claim(path, post, event)

    def _try_write(self, write: Create | Replace | Delete) -> bool:
        return write_if_unchanged(self.store, write, self.environment)

    # --- publish -----------------------------------------------------------------------------------------------------

    def _publish(self, claims: Sequence[_Claim]) -> int:
        posts = {claim.path: claim.post for claim in claims}
        for url in self.relays.urls:
            unanswered = [claim for claim in claims if claim.post.waits_for(url)]
            results = self.relays.publish(url, [claim.event for claim in unanswered]) if unanswered else ()
            for claim, result in zip(unanswered, results, strict=True):
                posts[claim.path] = posts[claim.path].with_answer(url, result)
        for path, post in posts.items():
            self._store_answers(path, post)
        return len(claims)

    def _store_answers(self, path: str, post: RelayPost) -> None:
        snapshot = self.store.get([path])
        document, now = snapshot[path], snapshot.read_time
        if not document.exists:  # the claim ran out, and another worker finished this post first
            return
        unanswered = any(post.waits_for(url) for url in self.relays.urls)
        if not unanswered and post.accepted:
            self._try_write(delete(document))
        elif unanswered and now - post.at < RETRY_PERIOD:
            self._try_write(put(document, to_data(post.rescheduled(now))))
        else:
            _log.error("no relay, or not every relay, accepted an event, and it is not retried")
            self._try_write(put(document, to_data(post.as_dead(now))))


def _stored_event(snapshot: Snapshot, post: RelayPost, path: str) -> str | None:
    """Return the event that a post refers to, or None if it has expired or its place holds another event."""
    event = str((snapshot[post.source].data or {}).get("event") or "")
    try:
        return event if event and paths.relay_post(_id_of(event)) == path else None
    except (ValueError, LookupError, TypeError):  # the stored event is damaged
        return None
