"""Freeze and thaw: a store that was copied or restored from a backup sends nothing until its groups are re-created.

Rules (docs/protocol.md §12):

1. An old group state would use message keys again that a newer state has used: two notices under one key and nonce.
   So nothing is sent while the document `service/frozen` exists (`membership.require_not_frozen`).
2. Thawing re-creates every MLS group with the service as its only member. All devices become absent, and each rejoins
   with a fresh key package.
3. The message log of a re-created group starts again at its first index.
4. Every step can be repeated. A thaw that is interrupted and run again ends in the same state.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.ports.store import Create, Query, delete, pages, put, scan
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import Roster
from keyturn.use_cases.audit_log import audit_heads, audit_writes
from keyturn.use_cases.groups.message_log import GroupLog
from keyturn.use_cases.optimistic import delete_unchanged, until_won, until_won_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Snapshot, Store, Write
    from keyturn.use_cases.optimistic import Act

PAGE = 100


@dataclass(frozen=True, slots=True)
class Freeze:
    """Freezes and thaws a store that is not the one that was written last."""

    store: Store
    groups: Groups
    environment: Environment
    banner: str = ""

    def freeze_reason(self) -> str:
        """Return `copied` or `restored`, or an empty text if the store is not frozen."""
        document = self.store.get([paths.FROZEN])[paths.FROZEN]
        return document.text("because") if document.exists else ""

    def freeze(self, because: str) -> None:
        """Stop all sending from now on. `because` is `copied` or `restored`."""
        until_won(lambda: self._freeze(because), self.environment)

    def _freeze(self, because: str) -> None:
        snapshot = self.store.get([*audit_heads(), paths.FROZEN])
        if snapshot[paths.FROZEN].exists:
            return
        marker: Data = {"since": snapshot.read_time, "because": because}
        self.store.commit([Create(paths.FROZEN, marker), *self._audit_writes(snapshot, "freeze", because)])

    def thaw(self) -> Sequence[str]:
        """Re-create all groups and allow sending again. Return the group ids, none if the store is not frozen."""
        if not self.freeze_reason():
            return []
        documents = scan(self.store, Query(paths.MAINTENANCE, order_by="due_at", limit=PAGE))
        groups = [document.text("group_id") for document in documents]
        for group_id in groups:
            self._delete_log(group_id)
            until_won_once(functools.partial(self._recreate, group_id), self.store, self.environment)
        # Last: while the marker exists, a group with an old state sends nothing.
        until_won(self._end, self.environment)
        return groups

    def _delete_log(self, group_id: str) -> None:
        for page in pages(self.store, Query(paths.messages(group_id), order_by="index", limit=PAGE)):
            delete_unchanged(self.store, page, self.environment)

    def _recreate(self, group_id: str, act: Act) -> Data:
        group, roster = paths.group(group_id), paths.roster(group_id)
        snapshot = self.store.get([*audit_heads(group_id), group, roster])
        before = from_data(Roster, snapshot[roster].fields)
        log = GroupLog.create(self.groups, snapshot[group], snapshot.read_time)
        after = replace(before, members=(), absent=(*before.absent, *before.members))
        audit = self._audit_writes(snapshot, "refound_group", "", group_id)
        answer: Data = {"group_id": group_id}
        mark = act.mark(answer, snapshot.read_time)
        self.store.commit([*log.writes(), put(snapshot[roster], to_data(after)), *audit, mark])
        return answer

    def _end(self) -> None:
        snapshot = self.store.get([*audit_heads(), paths.FROZEN])
        marker = snapshot[paths.FROZEN]
        if marker.exists:
            self.store.commit([delete(marker), *self._audit_writes(snapshot, "thaw", "")])

    def _audit_writes(self, snapshot: Snapshot, action: str, reason: str, group_id: str = "") -> list[Write]:
        transition = Transition(action, OPERATOR, {"group_id": group_id}, reason=reason)
        return audit_writes(snapshot, [transition], snapshot.read_time, self.banner)
