"""Announce: an audit entry for what is about to be written in another database, once, however often that is tried.

Two databases, so two commits. The entry comes first: an entry without its effect is harmless, an effect without its
entry is not.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.encodings import length_prefixed
from keyturn.ports.store import Create
from keyturn.records import paths
from keyturn.use_cases.audit_log import HEAD, system_writes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.domain.audit_chain import Transition
    from keyturn.ports.store import Data, Snapshot, Store, Write

KEPT = timedelta(hours=24)
"""How long it is known that something was announced: longer than any invite lives."""


def announce_once(store: Store, about: Sequence[str], transition: Transition, banner: str) -> None:
    """Write one entry to the system's chain; `about` says of what: the same again writes nothing. `LostRace`."""
    path = announced_path(transition.action, about)
    snapshot = store.get([HEAD, path])
    if not snapshot[path].exists:
        store.commit(announced_writes(snapshot, path, transition, banner))


def announced_path(action: str, about: Sequence[str]) -> str:
    """Return where it stands that something was announced."""
    key = hashlib.sha256(length_prefixed("keyturn/announced/v1", action, *about)).hexdigest()
    return paths.event(key)


def announced_writes(snapshot: Snapshot, path: str, transition: Transition, banner: str) -> list[Write]:
    """Return the entry's writes, and that it was announced; the chain's head and `path` were read."""
    known: Data = {"answer": {"action": transition.action}, "expires_at": snapshot.read_time + KEPT}
    return [*system_writes(snapshot, [transition], snapshot.read_time, banner), Create(path, known)]
