"""Expiry: documents that say in `expires_at` when they may go, deleted where the store does not do it by itself.

Firestore has policies for it (terraform/firestore.tf declares these collections, which a test holds to this list);
an embedded store has this. Nothing rests on a document being gone: each is looked at with its end in mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.ports.store import Delete, LostRace, Query, pages
from keyturn.records import paths
from keyturn.records.paths import ROTATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.ports.store import Data, Databases, Document, Store

EXPIRING = (
    ("control", "events"),
    ("control", "rates"),
    ("control", "proofs"),
    ("control", ROTATIONS),
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
WITH_ROTATIONS = "secrets"
"""What a rotation made expires before it (records/retention.py); where the store lets nothing go, both go together."""
PAGE = 100
_NAMES = {"client_id", "new_version"}
"""The fields by which a rotation names the version that it made; one that is damaged goes alone."""


@dataclass(frozen=True, slots=True)
class DeleteExpired:
    """Deletes what has expired."""

    databases: Databases

    def __call__(self, now: datetime) -> int:
        """Delete all that expired by `now`; how many documents that were."""
        self._forget_versions(now)
        return sum(_forget(getattr(self.databases, name), collection, now) for name, collection in EXPIRING)

    def _forget_versions(self, now: datetime) -> None:
        control, ended = self.databases.control, Query(ROTATIONS, order_by="expires_at", at_most=now, limit=PAGE)
        for page in pages(control, ended):
            made = [(data["client_id"], data["new_version"]) for data in map(_data, page) if data.keys() >= _NAMES]
            found = control.get(paths.version(str(client_id), str(version)) for client_id, version in made)
            over = [item for item in found.documents.values() if item.data and _ended(item.data, now)]
            _deleted(control, over)


def _forget(store: Store, collection: str, now: datetime) -> int:
    query = Query(collection, order_by="expires_at", at_most=now, limit=PAGE)
    return sum(_deleted(store, page) for page in pages(store, query))


def _data(document: Document) -> Data:
    return document.data or {}


def _ended(data: Data, now: datetime) -> bool:
    ends = cast("datetime | None", data.get("expires_at"))  # a version that lives again has no end
    return ends is not None and ends <= now


def _deleted(store: Store, page: Sequence[Document]) -> int:
    if not page:
        return 0
    try:
        store.commit([Delete(item.path, cast("str", item.version)) for item in page])
    except LostRace:  # somebody else deleted one of them, or it lives again: each for itself, then
        return sum(_deleted(store, [item]) for item in page) if len(page) > 1 else 0
    return len(page)
