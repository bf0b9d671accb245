"""Retention: retired versions and finished rotations are deleted after 24 months (docs/protocol.md §6).

    version   finished when it is retired
    rotation  finished when it is completed and no longer the client's last one, which rollback and restore need

A finished document never changes again, so the commit that finishes it also writes `expires_at`. Firestore deletes it
by a TTL policy, one for each of the two collections. On the embedded store the sweeper deletes it
(`use_cases.sweep.expiry`). Audit entries keep naming both.
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
    retired = version.state is VersionState.RETIRED
    return {**to_data(version), "expires_at": now + RETENTION if retired else None}


def rotation_document(rotation: Rotation, state: ClientState, now: datetime) -> dict[str, Value]:
    """Return a rotation's whole document, as it is written at `now`."""
    # The version that this rotation made may stay in grace for up to MAX_GRACE longer. By the time the rotation
    # expires the version has expired too, so the embedded store deletes both together.
    expires_at = now + RETENTION + MAX_GRACE if is_finished(rotation, state) else None
    return {**rotation_data(rotation), "expires_at": expires_at}


def is_finished(rotation: Rotation, state: ClientState) -> bool:
    """Return whether the client's state no longer refers to a rotation."""
    return rotation.phase is Phase.COMPLETED and state.client.last_rotation != rotation.rotation_id


def may_be_deleted(finished_at: datetime | None, now: datetime) -> bool:
    """Return whether a document that was finished at that time may be deleted by `now`. None means unfinished."""
    return finished_at is not None and finished_at + RETENTION <= now
