"""Freeze and thaw: a store that is a copy, or was restored from a backup, sends nothing until its groups are made anew.

An old group state would use generations again that were used since: two notices under one key. So nothing is sent
while there is the document `service/frozen` (membership.py, distribute.py), and thawing founds every group anew: the
service is its only member, all devices are absent, and each comes back by itself with a fresh key package. The log
begins again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.ports.store import Create, Delete, Query, pages, put, scan
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import Roster
from keyturn.use_cases.audit_log import HEAD, system_writes
from keyturn.use_cases.groups.message_log import GroupLog
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Snapshot, Store, Write

PAGE = 100


@dataclass(frozen=True, slots=True)
class Freeze:
    """The use cases of a store that is not what was last written."""

    store: Store
    groups: Groups
    environment: Environment
    banner: str = ""

    def freeze_reason(self) -> str:
        """Return `copied` or `restored`, or nothing if the store is not frozen."""
        data = self.store.get([paths.FROZEN])[paths.FROZEN].data
        return cast("str", data["because"]) if data else ""

    def freeze(self, because: str) -> None:
        """Let nothing be sent from now on; `because` is `copied` or `restored`."""
        until_won(lambda: self._freeze(because), self.environment)

    def _freeze(self, because: str) -> None:
        snapshot = self.store.get([HEAD, paths.FROZEN])
        if snapshot[paths.FROZEN].exists:
            return
        frozen: Data = {"since": snapshot.read_time, "because": because}
        noted = self._noted(snapshot, "freeze", because)
        self.store.commit([Create(paths.FROZEN, frozen), *noted])

    def thaw(self) -> Sequence[str]:
        """Found all groups anew and let things be sent again; the groups. May be repeated after it died half way."""
        if not self.freeze_reason():
            return []
        known = scan(self.store, Query(paths.MAINTENANCE, order_by="due_at", limit=PAGE))
        groups = [cast("str", (item.data or {})["group_id"]) for item in known]
        for group_id in groups:
            self._forget_log(group_id)
            until_won(partial(self._refound, group_id), self.environment)
        until_won(self._end, self.environment)
        return groups

    def _forget_log(self, group_id: str) -> None:
        query = Query(paths.messages(group_id), order_by="index", limit=PAGE)
        for page in pages(self.store, query):
            self.store.commit([Delete(item.path, cast("str", item.version)) for item in page])

    def _refound(self, group_id: str) -> None:
        group, roster = paths.group(group_id), paths.roster(group_id)
        snapshot = self.store.get([HEAD, group, roster])
        before = from_data(Roster, cast("Data", snapshot[roster].data))
        log = GroupLog.create(self.groups, snapshot[group], snapshot.read_time)
        after = replace(before, members=(), absent=(*before.absent, *before.members))
        noted = self._noted(snapshot, "refound_group", "", group_id)
        self.store.commit([*log.writes(), put(snapshot[roster], to_data(after)), *noted])

    def _end(self) -> None:
        snapshot = self.store.get([HEAD, paths.FROZEN])
        version = snapshot[paths.FROZEN].version
        if version is not None:
            self.store.commit([Delete(paths.FROZEN, version), *self._noted(snapshot, "thaw", "")])

    def _noted(self, snapshot: Snapshot, action: str, reason: str, group_id: str = "") -> list[Write]:
        done = Transition(action, OPERATOR, {"group_id": group_id}, reason=reason)
        return system_writes(snapshot, [done], snapshot.read_time, self.banner)
