"""Delete documents that have expired, where the store does not do it by itself.

Rules (docs/protocol.md §3):

1. A document with the field `expires_at` may be deleted after that time. Firestore has a TTL policy for each of these
   collections (terraform/firestore.tf, held to EXPIRING by a test). The embedded store has this module.
2. No decision relies on a document being deleted: each reader compares `expires_at` with its own time.
3. A version expires before the rotation that made it. No index lists versions by expiry, so both are deleted together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keyturn.ports.store import Query, pages
from keyturn.records import paths
from keyturn.records.paths import ROTATIONS
from keyturn.use_cases.optimistic import delete_unchanged

if TYPE_CHECKING:
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Databases, Document, Store

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
    ("usage", "revoked_tokens"),
    ("usage", "honeytokens"),
)
"""Database and collection of documents that expire."""
WITH_ROTATIONS = "secrets"
"""The collection that is deleted together with rotations (rule 3)."""
PAGE = 100
_VERSION_FIELDS = {"client_id", "new_version"}
"""The fields of a rotation that name its version. A damaged rotation without them is deleted alone."""


@dataclass(frozen=True, slots=True)
class DeleteExpired:
    """Deletes expired documents from all three databases."""

    databases: Databases
    environment: Environment

    def __call__(self, now: datetime) -> int:
        """Delete everything that expired by `now`. Return the number of documents, versions not counted."""
        self._delete_versions(now)
        return sum(
            self._delete_expired(getattr(self.databases, name), collection, now) for name, collection in EXPIRING
        )

    def _delete_versions(self, now: datetime) -> None:
        # Before the rotations: if this dies in between, the next run still finds the rotations, and their versions.
        control = self.databases.control
        for page in pages(control, Query(ROTATIONS, order_by="expires_at", at_most=now, limit=PAGE)):
            rotations = [document.fields for document in page if document.fields.keys() >= _VERSION_FIELDS]
            snapshot = control.get(
                paths.version(str(item["client_id"]), str(item["new_version"])) for item in rotations
            )
            expired = [version for version in snapshot.documents.values() if _has_expired(version, now)]
            delete_unchanged(control, expired, self.environment)

    def _delete_expired(self, store: Store, collection: str, now: datetime) -> int:
        query = Query(collection, order_by="expires_at", at_most=now, limit=PAGE)
        return sum(delete_unchanged(store, page, self.environment) for page in pages(store, query))


def _has_expired(document: Document, now: datetime) -> bool:
    expires_at = (document.data or {}).get("expires_at")  # None for a version that became live again
    return isinstance(expires_at, datetime) and expires_at <= now
