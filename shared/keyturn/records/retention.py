"""Retention: versions and rotations that are over are kept for 24 months, then their documents go (protocol.md §6).

    version   over when it is retired
    rotation  over when it is completed, and no longer the last one, which rollback and restore are about

What is over never changes again, so its document says in `expires_at` when it may go: Firestore lets it (a policy for
each of the two collections), the embedded store's sweeper does it (use_cases/expiry.py). The audit goes on naming both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.model import Phase, VersionState
from keyturn.domain.policy import MAX_GRACE
from keyturn.records.client_document import rotation_data
from keyturn.records.codec import to_data

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.domain.model import ClientState, Rotation, Version
    from keyturn.ports.store import Value

RETENTION = timedelta(days=730)


def version_document(version: Version, now: datetime) -> dict[str, Value]:
    """Return a version's whole document, as it is written at `now`."""
    over = version.state is VersionState.RETIRED
    return {**to_data(version), "expires_at": now + RETENTION if over else None}


def rotation_document(rotation: Rotation, state: ClientState, now: datetime) -> dict[str, Value]:
    """Return a rotation's whole document in its client's state; by its end the version that it made is over, too."""
    ends = now + RETENTION + MAX_GRACE if is_finished(rotation, state) else None
    return {**rotation_data(rotation), "expires_at": ends}


def is_finished(rotation: Rotation, state: ClientState) -> bool:
    """Return whether nothing in its client's state is about a rotation any more."""
    return rotation.phase is Phase.COMPLETED and state.client.last_rotation != rotation.rotation_id


def may_be_deleted(at: datetime | None, now: datetime) -> bool:
    """Return whether what was over at `at` may be gone by now; not what never was over."""
    return at is not None and at + RETENTION <= now
