"""A group's ordered message log: devices fetch it in the order in which the group's state changed.

The index of the next message is in the group's document. One commit writes the new state, the messages that led to it
and their indices, so the log has no gap and no index is used twice (docs/protocol.md §12).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.ports.store import Create, update
from keyturn.records import paths
from keyturn.use_cases.groups.relay_outbox import relay_post

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.groups import Groups, GroupSession
    from keyturn.ports.store import Data, Document, Write

ENVELOPE = 445
WELCOME = 444
GONE = "gone"
"""The kind of an entry after its message has expired. The entry stays, so that the log has no gap."""
KEY_PACKAGES = frozenset({443, 30443})


@dataclass(slots=True)
class GroupLog:
    """An open group and the messages that one commit appends to its log."""

    groups: Groups
    session: GroupSession
    document: Document
    now: datetime
    next_index: int
    entries: list[Write] = field(default_factory=list)

    @classmethod
    def open(cls, groups: Groups, document: Document, now: datetime) -> GroupLog:
        """Open the group that an existing document holds."""
        return cls(groups, groups.open(document.fields, now), document, now, document.integer("next_index"))

    @classmethod
    def create(cls, groups: Groups, document: Document, now: datetime) -> GroupLog:
        """Create a new group at the document's path, with an empty log. An old state there is replaced."""
        return cls(groups, groups.create(document.id, now), document, now, 1)

    @property
    def group_id(self) -> str:
        """The group's id."""
        return self.document.id

    @property
    def next_id(self) -> str:
        """The id of the next message: its index, 12 digits."""
        return f"{self.next_index:012d}"

    def append(self, kind: str, message: bytes, rotation_id: str = "", joined: str = "") -> None:
        """Append an MLS message as a kind-445 envelope. `kind` is `commit` or `notice`.

        `joined` is the signed key-package event of the device that a commit adds. Devices verify it.
        """
        event = self.groups.envelope(ENVELOPE, self.group_id, message, self.now)
        index, self.next_index = self.next_index, self.next_index + 1
        entry: Data = {"index": index, "kind": kind, "event": event, "rotation_id": rotation_id, "at": self.now}
        if joined:
            entry = {**entry, "joined": joined}
        self.entries.append(Create(paths.message(self.group_id, index), entry))
        self.entries.extend(self.relay_writes(event, paths.message(self.group_id, index)))

    def relay_writes(self, event: str, source: str) -> list[Write]:
        """Return the write that queues an event for relays, or none if no relays are configured.

        The same commit stores the event at the path `source`.
        """
        return [relay_post(event, source, self.now)] if self.groups.relayed else []

    def writes(self) -> list[Write]:
        """Return the writes of the group's new state, only over the state that was read, and of all new messages."""
        # Resting on the version that was read: a state that another commit has replaced must never be used again.
        return [update(self.document, {**self.session.sealed(), "next_index": self.next_index}), *self.entries]
