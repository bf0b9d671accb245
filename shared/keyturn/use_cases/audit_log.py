"""Audit entries as writes, and the chains of the groups and of the deployment (docs/protocol.md §9).

A group's entries go to a chain of its own, so that acts in different groups do not race for one head. The deployment's
chain names each group's chain, in the commit of that chain's first entry. So a chain that was deleted is missed.

`announce_once` is for an act with documents in another database than the audit, which therefore need their own commit.
The audit entry is committed first: an entry without its effect is harmless, an effect without its entry is not.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain import audit_chain as audit
from keyturn.domain.audit_chain import Transition
from keyturn.domain.encodings import length_prefixed
from keyturn.ports.store import Create, update
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from keyturn.ports.store import Data, Snapshot, Store, Write

HEAD = paths.audit_head(audit.SYSTEM_CHAIN)
"""The document with the head of the deployment's chain."""
ANNOUNCEMENT_KEPT = timedelta(hours=24)
"""How long an announcement is remembered: longer than any invite is valid."""


def audit_heads(group_id: str = "") -> list[str]:
    """Return the paths to read for an entry about a group, or about none. Read them with what the decision rests on."""
    return [HEAD, paths.audit_head(audit.group_chain(group_id))] if group_id else [HEAD]


def audit_writes(snapshot: Snapshot, transitions: Sequence[Transition], now: datetime, banner: str) -> list[Write]:
    """Return the writes that append each transition to its chain. The `audit_heads` of its group are in the snapshot.

    Only the heads of chains that grow are written.
    """
    by_chain: dict[str, list[Transition]] = {}
    for transition in transitions:
        chain = audit.chain_of(transition.ids)
        if chain not in by_chain and chain != audit.SYSTEM_CHAIN and not snapshot[paths.audit_head(chain)].exists:
            opening = Transition(audit.OPEN_CHAIN, transition.actor, {"group_id": transition.ids["group_id"]})
            by_chain.setdefault(audit.SYSTEM_CHAIN, []).append(opening)
        by_chain.setdefault(chain, []).append(transition)
    return [write for chain, added in by_chain.items() for write in _chain_writes(snapshot, chain, added, now, banner)]


def _chain_writes(
    snapshot: Snapshot, chain: str, transitions: Iterable[Transition], now: datetime, banner: str
) -> list[Write]:
    document = snapshot[paths.audit_head(chain)]
    head = from_data(audit.Head, document.data) if document.data else audit.Head()
    entries = audit.chained(head, transitions, now, banner=banner)
    return [update(document, to_data(entries[-1].head)), *entry_writes(chain, entries)]


def entry_writes(chain: str, entries: Iterable[audit.Entry]) -> list[Write]:
    """Return the writes of a chain's new entries."""
    # Create fails if an entry with this number exists, so that a chain can never fork.
    return [Create(paths.audit_entry(chain, item.seq), {**item.content, "hash": item.hash}) for item in entries]  # type: ignore[dict-item]  # canonical JSON values are store values


def announce_once(store: Store, about: Sequence[str], transition: Transition, banner: str) -> None:
    """Write one entry to its chain, or none if the same act was announced before. Raises `LostRace`.

    `about` identifies what the act is about.
    """
    path = announcement_path(transition.action, about)
    snapshot = store.get([*audit_heads(transition.ids.get("group_id", "")), path])
    # Checked and written in one commit: of two attempts at once, one loses the race.
    if not snapshot[path].exists:
        store.commit(announcement_writes(snapshot, path, transition, banner))


def announcement_path(action: str, about: Sequence[str]) -> str:
    """Return the path of the document that records an announcement."""
    key = hashlib.sha256(length_prefixed("keyturn/announced/v1", action, *about)).hexdigest()
    return paths.event(key)


def announcement_writes(snapshot: Snapshot, path: str, transition: Transition, banner: str) -> list[Write]:
    """Return the writes of the audit entry and of the document at `path`. The snapshot has it and the heads."""
    record: Data = {"answer": {"action": transition.action}, "expires_at": snapshot.read_time + ANNOUNCEMENT_KEPT}
    return [*audit_writes(snapshot, [transition], snapshot.read_time, banner), Create(path, record)]
