"""Accept an envelope: a kind-445 event whose MLS message is a command, an acknowledgement or a member's path update.

The MLS sender's credential is the signer; the outer key says nothing. What a message consumed (its key) or changed (the
path) is written in the commit of what it asked for, so that it counts once, whatever envelope it comes in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from keyturn.domain.audit_chain import Transition
from keyturn.domain.encodings import base64url_decode, identifier
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest
from keyturn.ports.groups import ForbiddenChange, GroupError, Received, StaleEpoch
from keyturn.ports.store import put
from keyturn.proofs.nostr import canonical, open_event, parse_event
from keyturn.proofs.strict_json import load_object
from keyturn.records import paths
from keyturn.use_cases.audit_log import system_writes
from keyturn.use_cases.commands.token_bucket import Buckets
from keyturn.use_cases.groups.membership import Membership, membership_paths
from keyturn.use_cases.groups.message_log import ENVELOPE
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import ANSWERS_LAST

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Store, Write
    from keyturn.proofs.nostr import Event
    from keyturn.use_cases.commands.execute import AcceptEvent

_NO_SIGNATURE = "0" * 128


@dataclass(frozen=True, slots=True)
class AcceptEnvelope:
    """The use case behind `rotate_request` for envelopes; anything else goes to `accept_event` as it is."""

    accept_event: AcceptEvent
    groups: Groups
    buckets: Buckets = field(default_factory=Buckets)

    def __call__(self, body: bytes) -> Data:
        """Return the answer to a signed event or envelope; any `Refusal`."""
        event = open_event(body)
        if event.kind != ENVELOPE:
            return self.accept_event(body)
        if event.tag_count("h") != 1:
            raise InvalidRequest("tags_disagree", "An envelope names exactly one group.")
        group_id, message = identifier(event.tag("h") or ""), base64url_decode(event.content)
        return until_won(lambda: self._attempt(event, group_id, message), self.accept_event.environment)

    def _attempt(self, event: Event, group_id: str, message: bytes) -> Data:
        snapshot = self._store.get([*membership_paths(group_id), paths.event(event.id)])
        answered = snapshot[paths.event(event.id)].data
        if answered is not None:
            return cast("Data", answered["answer"])
        self.buckets.take(group_id, snapshot.read_time)
        membership = Membership.open(self.groups, group_id, snapshot)
        received = self._received(membership, message)
        if received.plaintext is None:
            return self._updated(membership, event, message, received.npub)
        said = _said(received.npub, received.plaintext)
        carried = partial(_carried, membership, paths.event(event.id))
        # Two reads in all: the group that opens the message says whose rosters its command may rest on.
        return self.accept_event.accept(said, carried, membership.roster)

    @property
    def _store(self) -> Store:
        return self.accept_event.clients.store

    def _received(self, membership: Membership, message: bytes) -> Received:
        try:
            return membership.log.session.receive(message)
        except StaleEpoch:
            raise Conflict("stale_epoch", "The message is of a past epoch: catch up, and send it again.") from None
        except ForbiddenChange as change:
            self._refused(membership, change.npub)
            raise Forbidden("forbidden_change", "Only the service changes who is in a group.") from None
        except GroupError:
            raise InvalidRequest("bad_message", "The MLS message is not acceptable.") from None

    def _updated(self, membership: Membership, event: Event, message: bytes, npub: str) -> Data:
        log = membership.log
        log.append("commit", message)
        membership.note_key_update(npub)
        answer: Data = {"group_id": log.group_id, "epoch": log.session.epoch, "index": log.next_index - 1}
        stored: Data = {"answer": answer, "expires_at": log.now + ANSWERS_LAST}
        membership.also.append(put(membership.snapshot[paths.event(event.id)], stored))
        membership.commit(self._store, self.accept_event.clients.banner)
        return answer

    def _refused(self, membership: Membership, npub: str) -> None:
        member = membership.roster.member(npub)
        ids = {"group_id": membership.log.group_id, "npub": npub}
        done = Transition("refuse_commit", member.user if member else npub, ids)
        banner = self.accept_event.clients.banner
        self._store.commit(system_writes(membership.snapshot, [done], membership.log.now, banner))


def _carried(membership: Membership, outer: str, answer: Data, now: datetime) -> list[Write]:
    """Return the group without the message's key, and the answer for whoever sends the same envelope again."""
    stored: Data = {"answer": answer, "expires_at": now + ANSWERS_LAST}
    return [*membership.log.writes(), put(membership.snapshot[outer], stored)]


def _said(npub: str, plaintext: bytes) -> Event:
    """Return the event that a member said inside MLS: kind, created_at, tags and content; the sender is its signer."""
    fields = {**load_object(plaintext), "pubkey": npub, "sig": _NO_SIGNATURE}
    event = parse_event({"id": "0" * 64, **fields})
    if event.kind == ENVELOPE:
        raise InvalidRequest("unknown_kind", "An envelope carries no envelope.")
    return replace(event, id=hashlib.sha256(canonical(event)).hexdigest())
