"""Checks of one group: its state, roster, log and key packages, read while they did not change.

The log is checked without any message key (docs/protocol.md §12, RFC 9420 §6.3): commits lead from epoch to epoch
without a gap, each notice was sent in an epoch that the log had reached by then, and no ciphertext occurs twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Broken, Refusal
from keyturn.ports.groups import GroupError
from keyturn.ports.message_headers import UnreadableMessage
from keyturn.proofs.nostr import open_event
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.records.roster import Roster
from keyturn.use_cases.doctor.findings import CheckFinding
from keyturn.use_cases.groups.message_log import ENVELOPE, GONE, KEY_PACKAGES, WELCOME

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from datetime import datetime

    from keyturn.ports.groups import Groups
    from keyturn.ports.message_headers import MessageHead, ReadHead
    from keyturn.ports.store import Document
    from keyturn.proofs.nostr import Event


@dataclass(frozen=True, slots=True)
class GroupDocuments:
    """One group's documents, as they were together."""

    group: Document
    roster: Document
    messages: Sequence[Document]
    key_packages: Sequence[Document]
    welcomes: Sequence[Document]

    @property
    def own(self) -> Sequence[Document]:
        """All of these documents that exist."""
        roster = (self.roster,) if self.roster.exists else ()
        return (self.group, *roster, *self.messages, *self.key_packages, *self.welcomes)


@dataclass(frozen=True, slots=True)
class GroupChecks:
    """Checks groups as the service's member sees them."""

    groups: Groups
    read_head: ReadHead
    service: str
    """The service's npub, as it is stored."""

    def findings(self, documents: GroupDocuments, now: datetime) -> Iterator[CheckFinding]:
        """Yield the broken rules of one group."""
        group = documents.group
        if group.fields["group_id"] != group.id:
            yield CheckFinding("a document's ids differ from its path", group.path)
        yield from self._member_findings(documents, now)
        yield from _index_findings(documents.messages, group.id, group.fields.get("next_index"))
        yield from self._log_findings(documents.messages, group.id, group.fields.get("epoch"))
        yield from self._key_package_findings(documents)

    def _member_findings(self, documents: GroupDocuments, now: datetime) -> Iterator[CheckFinding]:
        group = documents.group
        try:
            session = self.groups.open(group.fields, now)
        except (GroupError, LookupError, TypeError):
            yield CheckFinding("the group's sealed state does not open", group.path)
            return
        leaves = {(leaf.index, leaf.npub) for leaf in session.members}
        roster = _roster(documents.roster)
        if roster is None or roster.group_id != group.id:
            yield CheckFinding("the group has no roster", documents.roster.path)
            return
        members = {(member.leaf, member.npub) for member in roster.members}
        # Exactly one leaf may be missing in the roster: the service's own.
        if not members <= leaves or [npub for _, npub in leaves - members] != [self.service]:
            yield CheckFinding("the group's leaves differ from the roster and the service", documents.roster.path)
        if session.epoch != group.fields["epoch"]:
            yield CheckFinding("the group's epoch differs from its state's", group.path)

    def _log_findings(self, messages: Sequence[Document], group_id: str, epoch: object) -> Iterator[CheckFinding]:
        current: int | None = None
        ciphertexts = set[bytes]()
        for message in messages:
            if message.fields["kind"] == GONE:
                continue
            head = self._message_head(message, group_id)
            if head is None:
                yield CheckFinding("a log entry is not a message of the service to this group", message.path)
                continue
            # A repeated ciphertext means that a message key was used twice, for example by a restored state.
            if {head.ciphertext, head.sender_data} & ciphertexts:
                yield CheckFinding("a ciphertext is in the log twice", message.path)
            ciphertexts |= {head.ciphertext, head.sender_data}
            if current is None:
                # Older entries may have expired. Without the first entry, the log's first epoch is taken on trust.
                current = head.epoch if message.fields["index"] != 1 else 0
            if head.epoch != current:
                yield CheckFinding("a message's epoch differs from the epoch that the log has reached", message.path)
            current += head.kind == "commit"
        if current not in {epoch, None} or (current is None and epoch != 0):
            yield CheckFinding("the log's commits do not lead to the group's epoch", paths.group(group_id))

    def _message_head(self, message: Document, group_id: str) -> MessageHead | None:
        event = _read_event(message, {ENVELOPE})
        if event is None or event.pubkey != self.service or not _is_for(event, group_id):
            return None
        try:
            head = self.read_head(base64url_decode(event.content))
        except (UnreadableMessage, Refusal):
            return None
        expected = (group_id.encode("utf-8"), message.fields.get("kind"))
        return head if (head.group_id, head.kind) == expected else None

    def _key_package_findings(self, documents: GroupDocuments) -> Iterator[CheckFinding]:
        if _references(documents.key_packages) != _references(documents.welcomes):
            yield CheckFinding("key packages and Welcomes do not pair up")
        events = [(document, _read_event(document, KEY_PACKAGES)) for document in documents.key_packages]
        for document, event in events:
            if event is None or event.pubkey != document.fields["npub"]:
                yield CheckFinding("a key package is not signed by its key", document.path)
        for document in documents.welcomes:
            welcome = _read_event(document, {WELCOME})
            if welcome is None or welcome.pubkey != self.service or not _is_for(welcome, documents.group.id):
                yield CheckFinding("a Welcome is not signed by the service for this group", document.path)
        signed_by = {(event.id, event.pubkey) for _, event in events if event}
        roster = _roster(documents.roster)
        if roster and not {(member.key_package_event, member.npub) for member in roster.members} <= signed_by:
            yield CheckFinding("a roster member has no key package", documents.roster.path)


def _index_findings(messages: Sequence[Document], group_id: str, next_index: object) -> Iterator[CheckFinding]:
    indices = [message.integer("index") for message in messages]
    first = indices[0] if indices else 1
    if indices != list(range(first, first + len(indices))):
        yield CheckFinding("the log has a gap, or an index twice")
    if next_index != first + len(indices):
        yield CheckFinding("the group's next index is not the end of its log", paths.group(group_id))
    for message, index in zip(messages, indices, strict=True):
        if message.path != paths.message(group_id, index):
            yield CheckFinding("a document's ids differ from its path", message.path)


def _references(documents: Sequence[Document]) -> set[tuple[str, object]]:
    return {(document.id, document.fields.get("npub")) for document in documents}


def _roster(document: Document) -> Roster | None:
    try:
        return from_data(Roster, document.data) if document.data is not None else None
    except Broken:
        return None


def _read_event(document: Document, kinds: Container[int]) -> Event | None:
    """Return the document's signed event, or None if it is malformed, wrongly signed or of another kind."""
    try:
        event = open_event(document.text("event"))
    except (Broken, Refusal, TypeError, AttributeError):
        return None
    return event if event.kind in kinds else None


def _is_for(event: Event, group_id: str) -> bool:
    return event.tag_count("h") == 1 and event.tag("h") == group_id
