"""Upkeep of groups, once a day each: what has ended leaves the log, and who is silent for too long loses the leaf.

1. A notice ends 7 days after its rotation; its place in the log stays, as an entry of kind `gone`.
2. Commits stay for 30 days, so that a device which was away replays them; then the log begins later. The last one
   stays: it says how far the group has come.
3. A device that fetched nothing for 30 days loses its leaf: keys that nobody renews are a risk for all. It is absent,
   and comes back by itself with a fresh key package (use_cases/enrol.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from keyturn.domain.errors import Broken, Refusal
from keyturn.domain.model import Rotation
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Delete, LostRace, Query, Replace, put, scan
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.use_cases.groups.membership import open_membership
from keyturn.use_cases.groups.message_log import GONE
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Databases, Document
    from keyturn.records.roster import RosterMember

_log = logging.getLogger(__name__)

MAINTENANCE_INTERVAL = timedelta(days=1)
NOTICE_RETENTION = timedelta(days=7)
COMMIT_RETENTION = timedelta(days=30)
SILENCE_LIMIT = timedelta(days=30)
PAGE = 50


@dataclass(frozen=True, slots=True)
class GroupMaintenance:
    """Looks after the groups that are due."""

    databases: Databases
    groups: Groups
    environment: Environment
    banner: str = ""

    def __call__(self, now: datetime) -> int:
        """Look after each group that is due, at most PAGE of them; how many there were."""
        due = self.databases.control.query(Query(paths.MAINTENANCE, order_by="due_at", at_most=now, limit=PAGE))
        for document in due:
            group_id = cast("str", (document.data or {})["group_id"])
            try:
                self._tidy_log(group_id, now)
                until_won(partial(self._dismiss_silent, group_id, now), self.environment)
            except (Broken, Refusal, GroupError):  # one group that cannot be looked after holds up no other
                _log.error("a group could not be looked after")
            self._next(document, group_id, now)
        return len(due)

    def _next(self, document: Document, group_id: str, now: datetime) -> None:
        try:
            self.databases.control.commit([put(document, {"group_id": group_id, "due_at": now + MAINTENANCE_INTERVAL})])
        except LostRace:
            return  # another sweep looked after it

    # --- the log -----------------------------------------------------------------------------------------------------

    def _tidy_log(self, group_id: str, now: datetime) -> None:
        query = Query(paths.messages(group_id), order_by="index", limit=PAGE)
        head: list[Document] | None = []  # what is over, from the last commit seen on; None past the head
        for document in scan(self.databases.control, query):
            head = self._tidy(document, now, head)

    def _tidy(self, document: Document, now: datetime, head: list[Document] | None) -> list[Document] | None:
        data = cast("Data", document.data)
        if head and data["kind"] == "commit":
            self.databases.control.commit([Delete(item.path, cast("str", item.version)) for item in head])
            head.clear()
        if data["kind"] == "notice" and self._ended(cast("str", data["rotation_id"]), now):
            gone = {**data, "kind": GONE, "event": ""}
            self.databases.control.commit([Replace(document.path, gone, cast("str", document.version))])
        if head is not None and data["kind"] != "notice" and cast("datetime", data["at"]) + COMMIT_RETENTION <= now:
            return [*head, document]
        return None

    def _ended(self, rotation_id: str, now: datetime) -> bool:
        path = paths.rotation(rotation_id)
        data = self.databases.control.get([path])[path].data
        completed_at = from_data(Rotation, data).completed_at if data else None
        return data is None or (completed_at is not None and completed_at + NOTICE_RETENTION <= now)

    # --- silence -----------------------------------------------------------------------------------------------------

    def _dismiss_silent(self, group_id: str, now: datetime) -> None:
        membership = open_membership(self.databases.control, self.groups, group_id)
        silent = self._silent(group_id, membership.roster.members, now)
        for member in silent:
            membership.remove_device(member, "dismiss_silent", "time", for_good=False)
        if silent:
            membership.commit(self.databases.control, self.banner)

    def _silent(self, group_id: str, members: Sequence[RosterMember], now: datetime) -> list[RosterMember]:
        by_path = {paths.device_activity(group_id, member.npub): member for member in members}
        if not by_path:
            return []
        seen = self.databases.usage.get(by_path)
        last = {path: (seen[path].data or {}).get("seen_at") or member.joined_at for path, member in by_path.items()}
        return [by_path[path] for path, at in last.items() if cast("datetime", at) + SILENCE_LIMIT <= now]
