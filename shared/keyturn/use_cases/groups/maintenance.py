"""Daily maintenance of each group: expire old log entries and remove the leaves of silent devices.

Rules (docs/protocol.md §12):

1. A notice expires 7 days after its rotation is completed. Its place in the log stays, as an entry of kind `gone`, so
   that the log has no gap.
2. Commits stay for 30 days, so that a device that was offline can replay them. Then the log starts later. The newest
   commit always stays, because it proves the group's epoch.
3. A device that fetched nothing for 30 days loses its leaf: keys that are never renewed are a risk for all
   members. The device becomes absent, and rejoins with a fresh key package (`use_cases.enrolment.join_group`).
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import Broken, Refusal
from keyturn.domain.model import Rotation
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Query, scan, update
from keyturn.records import paths
from keyturn.records.codec import salvage
from keyturn.use_cases.groups.membership import open_membership
from keyturn.use_cases.groups.message_log import GONE
from keyturn.use_cases.optimistic import delete_unchanged, until_won, write_if_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """Maintains the groups that are due."""

    databases: Databases
    groups: Groups
    environment: Environment
    banner: str = ""

    def __call__(self, now: datetime) -> int:
        """Maintain each group that is due, at most PAGE of them. Return how many were due."""
        due = self.databases.control.query(Query(paths.MAINTENANCE, order_by="due_at", at_most=now, limit=PAGE))
        for document in due:
            group_id = document.id
            self._try(self._tidy_log, group_id, now)
            self._try(self._remove_silent, group_id, now)
            self._schedule_next(document, group_id, now)
        return len(due)

    def _try(self, act: Callable[[str, datetime], None], group_id: str, now: datetime) -> None:
        try:
            until_won(functools.partial(act, group_id, now), self.environment)
        except (Broken, Refusal, GroupError) as error:
            # A damaged group must not keep the others from being maintained.
            _log.error("the maintenance of a group failed: %s, %s", group_id, type(error).__name__)

    def _schedule_next(self, document: Document, group_id: str, now: datetime) -> None:
        due: Data = {"group_id": group_id, "due_at": now + MAINTENANCE_INTERVAL}
        write_if_unchanged(self.databases.control, update(document, due), self.environment)

    # --- the log -----------------------------------------------------------------------------------------------------

    def _tidy_log(self, group_id: str, now: datetime) -> None:
        # `prefix` collects expired entries from the start of the log. They are deleted when a further commit follows,
        # so the newest commit always stays. None once the first entry was reached that has not expired.
        prefix: list[Document] | None = []
        for document in scan(self.databases.control, Query(paths.messages(group_id), order_by="index", limit=PAGE)):
            prefix = self._tidy_entry(document, now, prefix)

    def _tidy_entry(self, entry: Document, now: datetime, prefix: list[Document] | None) -> list[Document] | None:
        data = entry.fields
        kind, at, rotation_id = data.get("kind"), data.get("at"), data.get("rotation_id")
        if not isinstance(at, datetime) or not isinstance(rotation_id, str):
            return None  # a damaged entry stays where it is, and so does the log after it
        if prefix and kind == "commit":
            delete_unchanged(self.databases.control, prefix, self.environment)
            prefix.clear()
        if kind == "notice" and self._has_expired(rotation_id, now):
            gone = update(entry, {"kind": GONE, "event": ""})
            write_if_unchanged(self.databases.control, gone, self.environment)
        if prefix is not None and kind in {"commit", GONE} and at + COMMIT_RETENTION <= now:
            return [*prefix, entry]
        return None

    def _has_expired(self, rotation_id: str, now: datetime) -> bool:
        path = paths.rotation(rotation_id)
        data = self.databases.control.get([path])[path].data
        if data is None:  # the rotation was deleted at the end of its own, longer retention
            return True
        completed_at = salvage(Rotation, data).completed_at  # None for a damaged one, which keeps its notice
        return completed_at is not None and completed_at + NOTICE_RETENTION <= now

    # --- silent devices ----------------------------------------------------------------------------------------------

    def _remove_silent(self, group_id: str, now: datetime) -> None:
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
        activity = self.databases.usage.get(by_path)
        # A device that never fetched counts from the time at which it joined.
        last_active = {
            path: (activity[path].data or {}).get("seen_at", member.joined_at) for path, member in by_path.items()
        }
        # With a damaged time a device is not known to be silent.
        return [
            by_path[path] for path, at in last_active.items() if isinstance(at, datetime) and at + SILENCE_LIMIT <= now
        ]
