"""Approve an invite, or a suspended admin's return: a signed event with a proof of the approver.

Rules (docs/protocol.md §7):

1. An approval is a command: it is fresh, proven, and signed by a member of the group that it names. Its digest covers
   the invite, the user and the purpose, so a proof for one invite approves no other.
2. No admin approves an invite for themselves.
3. One commit in the database `control` uses up the proof and writes the audit entry. A second commit in `auth` stores
   the approval in the invite. The same event can be sent again after an interruption and continues from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import Transition
from keyturn.domain.encodings import rotation_identifier
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from keyturn.ports.authorisation import Act
from keyturn.ports.store import Check, Create, put
from keyturn.proofs.nostr import open_event
from keyturn.records import paths
from keyturn.records.admin import UNKNOWN_USER, admin_path
from keyturn.records.admin_directory import read_admin, read_directory
from keyturn.records.codec import from_data, to_data
from keyturn.records.denylist import BLOCK_PATHS, require_allowed, require_running
from keyturn.records.invite import Invite, not_active
from keyturn.records.roster import read_rosters
from keyturn.use_cases.audit_log import audit_heads, audit_writes
from keyturn.use_cases.commands.parse import APPROVE, read_approval
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import ANSWERS_LAST, require_fresh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.authorisation import Authoriser
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Databases, Snapshot
    from keyturn.proofs.nostr import Event
    from keyturn.use_cases.commands.intent import Intent

_ID_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class ApproveInvite:
    """The use case behind `enrol`'s approvals. `quorum` is the number of approvals, if there are that many admins."""

    databases: Databases
    authoriser: Authoriser
    environment: Environment
    quorum: int
    denied: frozenset[str] = field(default=frozenset())
    """Users and npubs on the denylist of the settings."""
    banner: str = ""

    def __call__(self, signed_event: Mapping[str, object]) -> Data:
        """Approve, and return how many have approved and how many are needed. Raise a `Refusal` otherwise."""
        event = open_event(signed_event)
        intent = read_approval(event)
        rotation_identifier(intent.target)  # the id of this approval: it has the form of a rotation id
        return until_won(lambda: self._approve(event, intent), self.environment)

    def _approve(self, event: Event, intent: Intent) -> Data:
        control = self._read_control(event, intent)
        user = _member_user(control, event, intent)
        invite_id = _invite_id(intent)
        auth = self.databases.auth.get([paths.invite(invite_id), paths.ADMINS, admin_path(user or UNKNOWN_USER)])
        # An event with a stored answer was authorised before. Its proof is used up and would be refused now.
        is_repeated = control[paths.event(event.id)].exists
        proof_writes = [] if is_repeated else self._authorise(event, intent, user, control)
        invite = self._read_invite(intent, user, event.pubkey, auth)
        if not is_repeated:
            self._write_audit(event, intent, user, control, proof_writes)
        if user not in invite.approvers:
            invite = invite.with_approval(user, auth.read_time)
            # The check makes a suspension that happens now win against this approval.
            self.databases.auth.commit([
                put(auth[paths.invite(invite_id)], to_data(invite)),
                Check(admin_path(user), auth[admin_path(user)].version),
            ])  # fmt: skip
        lacking = invite.missing_approvals(read_directory(auth[paths.ADMINS]), self.quorum)
        return {"invite": invite_id, "approvals": len(invite.approvals), "needed": len(invite.approvals) + lacking}

    def _read_control(self, event: Event, intent: Intent) -> Snapshot:
        own_paths = [*audit_heads(intent.group), paths.event(event.id), paths.roster(intent.group)]
        return self.databases.control.get([*own_paths, *self.authoriser.reads(intent.proof), *BLOCK_PATHS])

    def _authorise(self, event: Event, intent: Intent, user: str, control: Snapshot) -> list[Create]:
        """Return the writes that use up the proof. The order of checks is that of docs/protocol.md §7."""
        require_fresh(event, control.read_time)
        require_running(control)
        act = Act(event.pubkey, intent.group, "", intent.digest, user)
        proof_writes = list(self.authoriser.check(intent.proof, act, control))
        if not user:
            raise Forbidden("not_in_group", "This admin is not a member of the group that the approval names.")
        require_allowed(control, self.denied, user, event.pubkey)
        return proof_writes

    def _read_invite(self, intent: Intent, user: str, npub: str, auth: Snapshot) -> Invite:
        """Return the invite if this user may approve it."""
        document = auth[paths.invite(_invite_id(intent))]
        invite = from_data(Invite, document.data) if document.data is not None else None
        if invite is None or invite.expires_at <= auth.read_time:
            raise NotFound("unknown_invite", "There is no such invite, or it has expired.")
        # The approver signed the user and the purpose. An invite with other values is not the one that was approved.
        if (intent.params.text("user"), intent.params.text("purpose")) != (invite.user, invite.purpose.value):
            raise Conflict("invite_differs", "The invite is for another user or another purpose.")
        if user == invite.user:
            raise Forbidden("own_invite", "An invite needs approval by another admin than its own user.")
        admin = read_admin(auth[admin_path(user or UNKNOWN_USER)])
        if admin is None or not admin.may_act_with(npub):
            raise not_active()
        return invite

    def _write_audit(
        self, event: Event, intent: Intent, user: str, control: Snapshot, proof_writes: list[Create]
    ) -> None:
        subject = {"user": intent.params.text("user"), "invite": _invite_id(intent), "event_id": event.id}
        ids = {**subject, "npub": event.pubkey, "group_id": intent.group}
        transition = Transition(APPROVE, user, ids, reason=intent.reason)
        roster = paths.roster(intent.group)
        answer: Data = {"answer": {"action": APPROVE}, "expires_at": control.read_time + ANSWERS_LAST}
        self.databases.control.commit([
            *audit_writes(control, [transition], control.read_time, self.banner),
            Create(paths.event(event.id), answer),
            Check(roster, control[roster].version),
            *proof_writes,
        ])  # fmt: skip


def _member_user(control: Snapshot, event: Event, intent: Intent) -> str:
    """Return the user that the event's key belongs to in the named group, or an empty text."""
    roster = read_rosters(control, [intent.group]).get(intent.group)
    member = roster.member(event.pubkey) if roster else None
    return member.user if member else ""


def _invite_id(intent: Intent) -> str:
    invite_id = intent.params.text("invite", limit=_ID_CHARACTERS)
    if len(invite_id) != _ID_CHARACTERS or not set(invite_id) <= set("0123456789abcdef"):
        raise InvalidRequest("bad_invite_id", "Invalid invite id: 64 lower-case hex digits.")
    return invite_id
