"""A group's ordered log: what devices fetch, in the order in which the group's state changed.

The log's next index lives in the group's document, so that one commit carries the new state, the messages that led to
it and their places: no gap, no two messages in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from keyturn.ports.store import Create, put
from keyturn.records import paths
from keyturn.use_cases.groups.relay_outbox import relay_post

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.groups import Groups, GroupSession
    from keyturn.ports.store import Data, Document, Write

ENVELOPE = 445
WELCOME = 444
GONE = "gone"
"""The kind of an entry whose message has ended: its place stays, so that the log has no gap."""
KEY_PACKAGES = frozenset({443, 30443})


@dataclass(slots=True)
class GroupLog:
    """One opened group and the messages that it says in one commit."""

    groups: Groups
    session: GroupSession
    document: Document
    now: datetime
    next_index: int
    entries: list[Write] = field(default_factory=list)

    @classmethod
    def open(cls, groups: Groups, document: Document, now: datetime) -> GroupLog:
        """Open the group of a document that exists."""
        data = cast("Data", document.data)
        return cls(groups, groups.open(data, now), document, now, cast("int", data["next_index"]))

    @classmethod
    def create(cls, groups: Groups, document: Document, now: datetime) -> GroupLog:
        """Start a group where there is no document."""
        return cls(groups, groups.create(document.path.rpartition("/")[2], now), document, now, 1)

    @property
    def group_id(self) -> str:
        """The group's id: its document's."""
        return self.document.path.rpartition("/")[2]

    @property
    def next_id(self) -> str:
        """The id in the log of the message that is said next."""
        return f"{self.next_index:012d}"

    def append(self, kind: str, message: bytes, rotation_id: str = "", joined: str = "") -> None:
        """Append a message (kind `commit` or `notice`) as a kind-445 envelope.

        `joined` is the key-package event that whoever a commit adds has signed: devices check it.
        """
        event = self.groups.envelope(ENVELOPE, self.group_id, message, self.now)
        index, self.next_index = self.next_index, self.next_index + 1
        entry: Data = {"index": index, "kind": kind, "event": event, "rotation_id": rotation_id, "at": self.now}
        if joined:
            entry = {**entry, "joined": joined}
        self.entries.append(Create(paths.message(self.group_id, index), entry))
        self.entries.extend(self.relayed(event, paths.message(self.group_id, index)))

    def relayed(self, event: str, source: str) -> list[Write]:
        """Return what has an event, stored at `source` by the same commit, published at relays; nothing without any."""
        return [relay_post(event, source, self.now)] if self.groups.relayed else []

    def writes(self) -> list[Write]:
        """Return the writes: the group's new state (only over the one that was read) and all that was said."""
        return [put(self.document, {**self.session.sealed(), "next_index": self.next_index}), *self.entries]
