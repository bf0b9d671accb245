"""Execute an envelope: a kind-445 event with an MLS message: a command, an acknowledgement or a path update.

The credential of the MLS sender is the signer. The key that signed the outer event has no meaning.

A command is stored under the id of the event inside the message, so it takes effect once, whatever envelope it arrives
in. Its commit does not write the group's state. Otherwise all acknowledgements of a group would compete for one
document, with each other and with `distribute` (ADR 0020).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import Transition
from keyturn.domain.encodings import base64url_decode, identifier
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest
from keyturn.ports.groups import ForbiddenChange, GroupError, Received, StaleEpoch
from keyturn.proofs.nostr import canonical, open_event, parse_event
from keyturn.proofs.strict_json import load_object
from keyturn.records import paths
from keyturn.use_cases.audit_log import announce_once
from keyturn.use_cases.commands.token_bucket import Buckets, Charge
from keyturn.use_cases.groups.membership import Membership, membership_paths
from keyturn.use_cases.groups.message_log import ENVELOPE
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import answer_write, stored_answer

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Document, Store, Write
    from keyturn.proofs.nostr import Event
    from keyturn.use_cases.commands.execute import AcceptEvent
    from keyturn.use_cases.groups.message_log import GroupLog

_NO_SIGNATURE = "0" * 128


@dataclass(frozen=True, slots=True)
class AcceptEnvelope:
    """The use case behind `rotate_request` for envelopes; every other event is passed on to `accept_event`."""

    accept_event: AcceptEvent
    groups: Groups
    buckets: Buckets = field(default_factory=Buckets)

    def __call__(self, body: bytes) -> Data:
        """Return the answer to a signed event or envelope. Raises any `Refusal`."""
        event = open_event(body)
        if event.kind != ENVELOPE:
            return self.accept_event(body)
        if event.tag_count("h") != 1:
            raise InvalidRequest("tags_disagree", "An envelope names exactly one group.")
        group_id, message = identifier(event.tag("h") or ""), base64url_decode(event.content)
        charge = Charge(self.buckets, group_id)
        return until_won(lambda: self._attempt(event, charge, message), self.accept_event.environment)

    def _attempt(self, event: Event, charge: Charge, message: bytes) -> Data:
        group_id = charge.key
        snapshot = self._store.get([*membership_paths(group_id), paths.event(event.id)])
        answer_document = snapshot[paths.event(event.id)]
        if (answer := stored_answer(answer_document)) is not None:
            return answer
        # Decrypting costs time before the sender is known, so it is limited for each group.
        charge.pay(snapshot.read_time)
        membership = Membership.open(self.groups, group_id, snapshot)
        received = self._receive(membership, message)
        if received.plaintext is None:
            return self._store_update(membership, answer_document, message, received.npub)
        inner = _inner_event(received.npub, received.plaintext)
        extra_writes = partial(_extra_writes, membership.log if received.must_save else None, answer_document)
        # Two reads in all: this group's roster names the groups that a command from here can concern.
        return self.accept_event.accept(inner, extra_writes, membership.roster)

    @property
    def _store(self) -> Store:
        return self.accept_event.clients.store

    def _receive(self, membership: Membership, message: bytes) -> Received:
        try:
            return membership.log.session.receive(message)
        except StaleEpoch:
            raise Conflict("stale_epoch", "The message is of a past epoch. Catch up and send it again.") from None
        except ForbiddenChange as change:
            # A sign of a compromised device, so it is audited although it changes nothing.
            self._audit_forbidden(membership, change.npub, message)
            raise Forbidden("forbidden_change", "Only the service changes the members of a group.") from None
        except GroupError:
            raise InvalidRequest("bad_message", "The MLS message is not acceptable.") from None

    def _store_update(self, membership: Membership, answer_document: Document, message: bytes, npub: str) -> Data:
        """Commit a member's path update, and return its place in the log."""
        log = membership.log
        log.append("commit", message)
        membership.note_key_update(npub)
        answer: Data = {"group_id": log.group_id, "epoch": log.session.epoch, "index": log.next_index - 1}
        membership.extra_writes.append(answer_write(answer_document, answer, log.now))
        membership.commit(self._store, self.accept_event.clients.banner)
        return answer

    def _audit_forbidden(self, membership: Membership, npub: str, message: bytes) -> None:
        member = membership.roster.member(npub)
        ids = {"group_id": membership.log.group_id, "npub": npub}
        transition = Transition("refuse_commit", member.user if member else npub, ids)
        banner = self.accept_event.clients.banner
        # Once for each message, however often it is sent.
        about = (membership.log.group_id, hashlib.sha256(message).hexdigest())
        announce_once(self._store, about, transition, banner)


def _extra_writes(log: GroupLog | None, answer_document: Document, answer: Data, now: datetime) -> list[Write]:
    """Return the writes of the answer for a repeated envelope, and of the group's state if it must be stored."""
    return [*(log.writes() if log else ()), answer_write(answer_document, answer, now)]


def _inner_event(npub: str, plaintext: bytes) -> Event:
    """Return the event inside an MLS message: its kind, created_at, tags and content, with the sender as its signer.

    It needs no signature of its own, because MLS has authenticated the sender (RFC 9420 §6.1).
    """
    fields = {**load_object(plaintext), "pubkey": npub, "sig": _NO_SIGNATURE}
    event = parse_event({"id": "0" * 64, **fields})
    if event.kind == ENVELOPE:
        raise InvalidRequest("unknown_kind", "An envelope contains no envelope.")
    return replace(event, id=hashlib.sha256(canonical(event)).hexdigest())
