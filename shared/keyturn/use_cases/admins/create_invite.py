"""Create an invite: a one-time code with which a device is registered or joins a group.

Rules (docs/protocol.md §7):

1. Only the SHA-256 of the code is stored, and is the invite's id.
2. An invite needs approval by other active admins, as many as the policy `invite_quorum` says or as there are.
3. The audit entry is written before the invite. An entry without an invite is harmless. The opposite is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import crockford, identifier, invite_id, to_milliseconds
from keyturn.domain.errors import Conflict, InvalidRequest, NotFound
from keyturn.ports.store import Check, Create
from keyturn.records import paths
from keyturn.records.admin import AdminStatus, admin_path
from keyturn.records.admin_directory import approvals_needed, read_admin, read_directory, removal_version
from keyturn.records.codec import from_data, to_data
from keyturn.records.invite import Invite, InvitePurpose
from keyturn.records.roster import Roster
from keyturn.use_cases.audit_log import announcement_path, announcement_writes, audit_heads
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Databases
    from keyturn.records.admin import Admin
    from keyturn.records.admin_directory import AdminDirectory

INVITE_LIFETIME = timedelta(hours=24)
RESERVED_USERS = frozenset({OPERATOR, "time", "policy", "distribute", "canaries"})
"""Actors in the audit that are not people. A user with such an id could not be told apart from them."""
ADDS_DEVICE = frozenset({InvitePurpose.JOIN, InvitePurpose.DEVICE})
_CODE_BYTES = 16


@dataclass(frozen=True, slots=True)
class CreateInvite:
    """The use case behind `operator`'s invites. `attested` says whether commands need proofs."""

    databases: Databases
    environment: Environment
    quorum: int
    attested: bool = True
    banner: str = ""

    def __call__(
        self, user: str, group_id: str, purpose: InvitePurpose = InvitePurpose.JOIN, subject: str = ""
    ) -> Data:
        """Create an invite and return its code, which is stored nowhere. Raise a `Refusal` otherwise."""
        code = crockford(int.from_bytes(self.environment.random(_CODE_BYTES), "big"))
        # 128 random bits: the code cannot be guessed, so its hash may be stored without a salt.
        if user in RESERVED_USERS:
            raise InvalidRequest("reserved_user", "This user id is reserved for an actor in the audit.")
        request = (identifier(user), identifier(group_id), purpose, subject and identifier(subject))
        invite = until_won(lambda: self._create(code, *request), self.environment)
        return {
            "code": code,
            "invite": invite_id(code),
            "user": user,
            "group_id": group_id,
            "purpose": purpose.value,
            "expires_at": to_milliseconds(invite.expires_at),
            "approvals": 0,
            "needed": invite.needed,
        }

    def _create(self, code: str, user: str, group_id: str, purpose: InvitePurpose, subject: str) -> Invite:
        path = paths.invite(invite_id(code))
        snapshot = self.databases.auth.get([paths.ADMINS, admin_path(user), path])
        # Only this call knows the code. If its invite exists, an attempt with an unknown outcome created it.
        if (stored := snapshot[path].data) is not None:
            return from_data(Invite, stored)
        admin, directory = read_admin(snapshot[admin_path(user)]), read_directory(snapshot[paths.ADMINS])
        subject = _subject(admin, user, subject)
        if self.attested:
            _require_invitable(admin, purpose)
            _require_free(directory, user, subject)
        needed = approvals_needed(directory, user, self.quorum) if self.attested else 0
        now = self._write_audit(invite_id(code), user, group_id, purpose)
        removal = removal_version(snapshot[admin_path(user)])
        invite = Invite(user, group_id, subject, purpose, needed, now, now + INVITE_LIFETIME, removal=removal)
        # The number of admins may change until the invite is used. It is counted again then (missing_approvals).
        self.databases.auth.commit([Create(path, to_data(invite))])
        return invite

    def _write_audit(self, invite: str, user: str, group_id: str, purpose: InvitePurpose) -> datetime:
        roster = paths.roster(group_id)
        announced = announcement_path("invite", (invite,))
        snapshot = self.databases.control.get([*audit_heads(group_id), roster, announced])
        if not snapshot[roster].exists:
            raise NotFound("unknown_group", "There is no such group.")
        if purpose in ADDS_DEVICE:
            # Invites at the same time can each find the last place, so the join looks again.
            from_data(Roster, snapshot[roster].fields).require_place()
        if snapshot[announced].exists:  # an earlier attempt of this call wrote the entry
            return snapshot.read_time
        ids = {"group_id": group_id, "user": user, "invite": invite}
        transition = Transition("invite", OPERATOR, ids, reason=purpose.value)
        check = Check(roster, snapshot[roster].version)
        writes = announcement_writes(snapshot, announced, transition, self.banner)
        self.databases.control.commit([*writes, check])
        return snapshot.read_time


def _subject(admin: Admin | None, user: str, subject: str) -> str:
    """Return the identity provider's id of the user: that of the admin's record, or `subject`, or the user id."""
    if admin is None or admin.status is AdminStatus.REMOVED:
        return subject or user
    if subject not in {"", admin.subject}:
        raise Conflict("subject_differs", "This admin is registered with another subject.")
    return admin.subject


def _require_invitable(admin: Admin | None, purpose: InvitePurpose) -> None:
    if purpose is not InvitePurpose.JOIN and (admin is None or admin.status is AdminStatus.REMOVED):
        raise NotFound("unknown_admin", "There is no such admin.")
    if admin is not None and admin.status is AdminStatus.SUSPENDED:
        raise Conflict("suspended", "This admin is suspended. Resume the admin first.")
    if admin is not None and purpose is InvitePurpose.DEVICE:
        # Invites at the same time can each find the last place, so the registration looks again.
        admin.require_place()


def _require_free(directory: AdminDirectory | None, user: str, subject: str) -> None:
    if directory is not None:
        directory.require_place(user)
    owner = directory.owner(subject) if directory else None
    if owner not in {None, user}:
        raise Conflict("subject_taken", "This subject belongs to another admin.")
