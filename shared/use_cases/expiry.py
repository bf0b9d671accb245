"""Expiry: documents that say in `expires_at` when they may go, deleted where the store does not do it by itself.

Firestore has policies for it (terraform/firestore.tf declares these collections, which a test holds to this list);
an embedded store has this. Nothing rests on a document being gone: each is looked at with its end in mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from shared.ports.store import Delete, LostRace, Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.ports.store import Databases, Document, Store

EXPIRING = (
    ("control", "events"),
    ("control", "rates"),
    ("control", "proofs"),
    ("auth", "challenges"),
    ("auth", "invites"),
    ("usage", "refusals"),
    ("usage", "version_usage"),
    ("usage", "client_failures"),
    ("usage", "verifiers"),
    ("usage", "canaries"),
    ("usage", "honeytokens"),
)
"""Database and collection of what expires."""
PAGE = 100


@dataclass(frozen=True, slots=True)
class Expiry:
    """Deletes what has expired."""

    databases: Databases

    def __call__(self, now: datetime) -> int:
        """Delete all that expired by `now`; how many documents that were."""
        return sum(_forget(getattr(self.databases, name), collection, now) for name, collection in EXPIRING)


def _forget(store: Store, collection: str, now: datetime) -> int:
    query = Query(collection, order_by="expires_at", at_most=now, limit=PAGE)
    forgotten = 0
    while page := store.query(query):
        forgotten += _deleted(store, page)
        if len(page) < query.limit:
            break
        query = query.following(page[-1])
    return forgotten


def _deleted(store: Store, page: Sequence[Document]) -> int:
    try:
        store.commit([Delete(item.path, cast("str", item.version)) for item in page])
    except LostRace:  # somebody else deleted one of them, or it lives again: each for itself, then
        return sum(_deleted(store, [item]) for item in page) if len(page) > 1 else 0
    return len(page)
