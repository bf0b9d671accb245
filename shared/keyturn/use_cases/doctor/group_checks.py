"""Examine a group: its state, its roster, its log, and who joined it, read while it stood still.

What the log shows without any key (RFC 9420 §6.3): commits lead from epoch to epoch without a gap, each notice was
sent in an epoch that the log had reached by then, and no ciphertext stands there twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Broken, Refusal
from keyturn.ports.groups import GroupError
from keyturn.ports.message_headers import UnreadableMessage
from keyturn.proofs.nostr import open_event
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.records.roster import Roster
from keyturn.use_cases.doctor.findings import Finding, last_segment
from keyturn.use_cases.groups.message_log import ENVELOPE, GONE, KEY_PACKAGES, WELCOME

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from datetime import datetime

    from keyturn.ports.groups import Groups
    from keyturn.ports.message_headers import MessageHead, ReadHead
    from keyturn.ports.store import Data, Document
    from keyturn.proofs.nostr import Event


@dataclass(frozen=True, slots=True)
class GroupDocuments:
    """One group's documents as they stood together."""

    group: Document
    roster: Document
    messages: Sequence[Document]
    key_packages: Sequence[Document]
    welcomes: Sequence[Document]

    @property
    def own(self) -> Sequence[Document]:
        """All of them that exist."""
        roster = (self.roster,) if self.roster.exists else ()
        return (self.group, *roster, *self.messages, *self.key_packages, *self.welcomes)


@dataclass(frozen=True, slots=True)
class GroupChecks:
    """Examines groups as the service member sees them."""

    groups: Groups
    read_head: ReadHead
    service: str
    """The service's npub, as the store has it."""

    def findings(self, found: GroupDocuments, now: datetime) -> Iterator[Finding]:
        """Yield what is wrong with one group."""
        data, group_id = cast("Data", found.group.data), last_segment(found.group)
        if data["group_id"] != group_id:
            yield Finding("a document's ids and its place disagree", found.group.path)
        yield from self._member_findings(found, group_id, now)
        yield from _index_findings(found.messages, group_id, data.get("next_index"))
        yield from self._log_findings(found.messages, group_id, data.get("epoch"))
        yield from self._joining_findings(found, group_id)

    def _member_findings(self, found: GroupDocuments, group_id: str, now: datetime) -> Iterator[Finding]:
        try:
            session = self.groups.open(cast("Data", found.group.data), now)
        except (GroupError, LookupError, TypeError):
            yield Finding("the group's sealed state does not open", found.group.path)
            return
        leaves = {(leaf.index, leaf.npub) for leaf in session.members}
        roster = _roster(found.roster)
        if roster is None or roster.group_id != group_id:
            yield Finding("the group has no roster", found.roster.path)
            return
        people = {(member.leaf, member.npub) for member in roster.members}
        if not people <= leaves or [npub for _, npub in leaves - people] != [self.service]:
            yield Finding("the group's leaves are not the roster and the service", found.roster.path)
        if session.epoch != cast("Data", found.group.data)["epoch"]:
            yield Finding("the group's epoch is not its state's", found.group.path)

    def _log_findings(self, messages: Sequence[Document], group_id: str, epoch: object) -> Iterator[Finding]:
        reached: int | None = None
        seen = set[bytes]()
        for message in messages:
            data = cast("Data", message.data)
            if data["kind"] == GONE:
                continue
            head = self._head(message, group_id)
            if head is None:
                yield Finding("an entry of the log is no message that the service sent to this group", message.path)
                continue
            if {head.ciphertext, head.sender_data} & seen:
                yield Finding("a ciphertext stands in the log twice", message.path)
            seen |= {head.ciphertext, head.sender_data}
            if reached is None:  # what came before the first entry that is left, nobody can say
                reached = head.epoch if data["index"] != 1 else 0
            if head.epoch != reached:
                yield Finding("a message is of another epoch than the log has come to", message.path)
            reached += head.kind == "commit"
        if reached not in {epoch, None} or (reached is None and epoch != 0):
            yield Finding("the log's commits do not lead to the group's epoch", paths.group(group_id))

    def _head(self, message: Document, group_id: str) -> MessageHead | None:
        data = cast("Data", message.data)
        event = _opened(data, {ENVELOPE})
        if event is None or event.pubkey != self.service or not _is_for(event, group_id):
            return None
        try:
            head = self.read_head(base64url_decode(event.content))
        except (UnreadableMessage, Refusal):
            return None
        return head if (head.group_id, head.kind) == (group_id.encode("utf-8"), data.get("kind")) else None

    def _joining_findings(self, found: GroupDocuments, group_id: str) -> Iterator[Finding]:
        if _pairs(found.key_packages) != _pairs(found.welcomes):
            yield Finding("key packages and Welcomes do not pair up")
        offers = [(document, _opened(cast("Data", document.data), KEY_PACKAGES)) for document in found.key_packages]
        for document, event in offers:
            if event is None or event.pubkey != cast("Data", document.data)["npub"]:
                yield Finding("a key package is not signed by its key", document.path)
        for document in found.welcomes:
            event = _opened(cast("Data", document.data), {WELCOME})
            if event is None or event.pubkey != self.service or not _is_for(event, group_id):
                yield Finding("a Welcome is not signed by the service for this group", document.path)
        offered = {(event.id, event.pubkey) for _, event in offers if event}
        roster = _roster(found.roster)
        if roster and not {(member.key_package_event, member.npub) for member in roster.members} <= offered:
            yield Finding("a member of the roster joined by no key package", found.roster.path)


def _index_findings(messages: Sequence[Document], group_id: str, next_index: object) -> Iterator[Finding]:
    indices = [cast("Data", message.data)["index"] for message in messages]
    first = cast("int", indices[0]) if indices else 1
    if indices != list(range(first, first + len(indices))):
        yield Finding("the log has a gap, or an index twice")
    if next_index != first + len(indices):
        yield Finding("the group's next index is not the end of its log", paths.group(group_id))
    for message, index in zip(messages, indices, strict=True):
        if message.path != paths.message(group_id, cast("int", index)):
            yield Finding("a document's ids and its place disagree", message.path)


def _pairs(documents: Sequence[Document]) -> set[tuple[str, object]]:
    return {(last_segment(document), cast("Data", document.data).get("npub")) for document in documents}


def _roster(document: Document) -> Roster | None:
    try:
        return from_data(Roster, document.data) if document.data is not None else None
    except Broken:
        return None


def _opened(data: Data, kinds: Container[int]) -> Event | None:
    try:
        event = open_event(cast("str", data.get("event")))
    except (Refusal, TypeError, AttributeError):
        return None
    return event if event.kind in kinds else None


def _is_for(event: Event, group_id: str) -> bool:
    return event.tag_count("h") == 1 and event.tag("h") == group_id
