"""Audit entries as writes, and the system's chain: groups, members, invites (docs/protocol.md §9).

`announce_once` is for an act with documents in another database than the audit, which therefore need their own commit.
The audit entry is committed first: an entry without its effect is harmless, an effect without its entry is not.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain import audit_chain as audit
from keyturn.domain.encodings import length_prefixed
from keyturn.ports.store import Create, update
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from keyturn.domain.audit_chain import Transition
    from keyturn.ports.store import Data, Snapshot, Store, Write

HEAD = paths.audit_head(audit.SYSTEM_CHAIN)
"""The document with the head of the system's chain; read it together with what the decision rests on."""
ANNOUNCEMENT_KEPT = timedelta(hours=24)
"""How long an announcement is remembered: longer than any invite is valid."""


def system_writes(snapshot: Snapshot, transitions: Iterable[Transition], now: datetime, banner: str) -> list[Write]:
    """Return the writes that append transitions to the system's chain; `HEAD` is in the snapshot."""
    document = snapshot[HEAD]
    head = from_data(audit.Head, document.data) if document.data else audit.Head()
    entries = audit.chained(head, transitions, now, banner=banner)
    return [update(document, to_data(entries[-1].head)), *entry_writes(audit.SYSTEM_CHAIN, entries)]


def entry_writes(chain: str, entries: Iterable[audit.Entry]) -> list[Write]:
    """Return the writes of a chain's new entries."""
    # Create fails if an entry with this number exists, so that a chain can never fork.
    return [Create(paths.audit_entry(chain, item.seq), {**item.content, "hash": item.hash}) for item in entries]  # type: ignore[dict-item]  # canonical JSON values are store values


def announce_once(store: Store, about: Sequence[str], transition: Transition, banner: str) -> None:
    """Write one entry to the system's chain, or none if the same act was announced before. Raises `LostRace`.

    `about` identifies what the act is about.
    """
    path = announcement_path(transition.action, about)
    snapshot = store.get([HEAD, path])
    # Checked and written in one commit: of two attempts at once, one loses the race.
    if not snapshot[path].exists:
        store.commit(announcement_writes(snapshot, path, transition, banner))


def announcement_path(action: str, about: Sequence[str]) -> str:
    """Return the path of the document that records an announcement."""
    key = hashlib.sha256(length_prefixed("keyturn/announced/v1", action, *about)).hexdigest()
    return paths.event(key)


def announcement_writes(snapshot: Snapshot, path: str, transition: Transition, banner: str) -> list[Write]:
    """Return the writes of the audit entry and of the document at `path`; both it and `HEAD` are in the snapshot."""
    record: Data = {"answer": {"action": transition.action}, "expires_at": snapshot.read_time + ANNOUNCEMENT_KEPT}
    return [*system_writes(snapshot, [transition], snapshot.read_time, banner), Create(path, record)]
