"""Audit entries as writes; and the chain of what belongs to no client: groups, members, invites (protocol.md §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain import audit_chain as audit
from keyturn.ports.store import Create, put
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.domain.audit_chain import Transition
    from keyturn.ports.store import Snapshot, Write

HEAD = paths.audit_head(audit.SYSTEM_CHAIN)
"""The document that holds the chain's head; read it together with what is decided on."""


def system_writes(snapshot: Snapshot, transitions: Iterable[Transition], now: datetime, banner: str) -> list[Write]:
    """Return the writes that append to the chain, resting on the head that was read."""
    document = snapshot[HEAD]
    head = from_data(audit.Head, document.data) if document.data else audit.Head()
    entries = audit.chained(head, transitions, now, banner=banner)
    return [put(document, to_data(entries[-1].head)), *entry_writes(audit.SYSTEM_CHAIN, entries)]


def entry_writes(chain: str, entries: Iterable[audit.Entry]) -> list[Write]:
    """Return the writes of a chain's new entries."""
    return [Create(paths.audit_entry(chain, item.seq), {**item.content, "hash": item.hash}) for item in entries]  # type: ignore[dict-item]  # canonical JSON values are store values
