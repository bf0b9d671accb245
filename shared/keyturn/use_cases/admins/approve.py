"""Approve: an admin consents to an invite, or to a suspended admin's return; signed, and with a proof of their own.

The proof is used up and the consent is audited in one commit in the database control; then the consent itself stands
in the database auth. The same event again goes on from wherever it was cut short.
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
from keyturn.use_cases.audit_log import HEAD, system_writes
from keyturn.use_cases.commands.parse import APPROVE, read_approval
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import ANSWERS_LAST, require_fresh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.authorisation import Authoriser
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Databases, Snapshot
    from keyturn.proofs.nostr import Event
    from keyturn.use_cases.commands.parse import Intent

_ID_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class ApproveInvite:
    """The use case behind `enrol`'s approvals; `quorum` is how many approve, where there are so many."""

    databases: Databases
    authoriser: Authoriser
    environment: Environment
    quorum: int
    denied: frozenset[str] = field(default=frozenset())
    banner: str = ""

    def __call__(self, presented: Mapping[str, object]) -> Data:
        """Return how many approved, and how many must; any `Refusal`."""
        event = open_event(presented)
        intent = read_approval(event)
        rotation_identifier(intent.target)  # an id that is used once
        return until_won(lambda: self._approve(event, intent), self.environment)

    def _approve(self, event: Event, intent: Intent) -> Data:
        control = self._control(event, intent)
        user = _seat(control, event, intent)
        invite_id = _invite_id(intent)
        auth = self.databases.auth.get([paths.invite(invite_id), paths.ADMINS, admin_path(user or UNKNOWN_USER)])
        used_up = [] if control[paths.event(event.id)].exists else self._judged(event, intent, user, control)
        invite = self._approvable(intent, user, event.pubkey, auth)
        if not control[paths.event(event.id)].exists:
            self._consent(event, intent, user, control, used_up)
        if user not in invite.approvers:
            invite = invite.with_approval(user, auth.read_time)
            self.databases.auth.commit([
                put(auth[paths.invite(invite_id)], to_data(invite)),
                Check(admin_path(user), auth[admin_path(user)].version),
            ])  # fmt: skip
        lacking = invite.missing_approvals(read_directory(auth[paths.ADMINS]), self.quorum)
        return {"invite": invite_id, "approvals": len(invite.approvals), "needed": len(invite.approvals) + lacking}

    def _control(self, event: Event, intent: Intent) -> Snapshot:
        wanted = [HEAD, paths.event(event.id), paths.roster(intent.group), *self.authoriser.reads(intent.proof)]
        return self.databases.control.get([*wanted, *BLOCK_PATHS])

    def _judged(self, event: Event, intent: Intent, user: str, control: Snapshot) -> list[Create]:
        require_fresh(event, control.read_time)
        require_running(control)
        act = Act(event.pubkey, intent.group, "", intent.digest, user)
        used_up = list(self.authoriser.check(intent.proof, act, control))
        if not user:
            raise Forbidden("not_in_group", "This admin is not in the group that the approval names.")
        require_allowed(control, self.denied, user, event.pubkey)
        return used_up

    def _approvable(self, intent: Intent, user: str, npub: str, auth: Snapshot) -> Invite:
        document = auth[paths.invite(_invite_id(intent))]
        invite = from_data(Invite, document.data) if document.data is not None else None
        if invite is None or invite.expires_at <= auth.read_time:
            raise NotFound("unknown_invite", "There is no such invite, or its time is over.")
        meant = (intent.params.text("user"), intent.params.text("purpose"))
        if meant != (invite.user, invite.purpose.value):
            raise Conflict("invite_differs", "The invite is for somebody else, or for something else.")
        if user == invite.user:
            raise Forbidden("own_invite", "Nobody approves an invite of their own.")
        admin = read_admin(auth[admin_path(user or UNKNOWN_USER)])
        if admin is None or not admin.may_act_with(npub):
            raise not_active()
        return invite

    def _consent(self, event: Event, intent: Intent, user: str, control: Snapshot, used_up: list[Create]) -> None:
        meant = {"user": intent.params.text("user"), "invite": _invite_id(intent), "event_id": event.id}
        ids = {**meant, "npub": event.pubkey, "group_id": intent.group}
        done = Transition(APPROVE, user, ids, reason=intent.reason)
        roster = paths.roster(intent.group)
        known: Data = {"answer": {"action": APPROVE}, "expires_at": control.read_time + ANSWERS_LAST}
        self.databases.control.commit([
            *system_writes(control, [done], control.read_time, self.banner),
            Create(paths.event(event.id), known),
            Check(roster, control[roster].version),
            *used_up,
        ])  # fmt: skip


def _seat(control: Snapshot, event: Event, intent: Intent) -> str:
    roster = read_rosters(control, [intent.group]).get(intent.group)
    member = roster.member(event.pubkey) if roster else None
    return member.user if member else ""


def _invite_id(intent: Intent) -> str:
    named = intent.params.text("invite", limit=_ID_CHARACTERS)
    if len(named) != _ID_CHARACTERS or not set(named) <= set("0123456789abcdef"):
        raise InvalidRequest("bad_invite_id", "An invite's id is 64 lower-case hex digits.")
    return named
