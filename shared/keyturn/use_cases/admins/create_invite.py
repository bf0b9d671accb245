"""Invite: a one-time code by which a device is registered or joins a group; who else has to approve is settled here."""

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
from keyturn.records.codec import to_data
from keyturn.records.invite import Invite, InvitePurpose
from keyturn.use_cases.audit_log import HEAD, system_writes
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Databases
    from keyturn.records.admin import Admin
    from keyturn.records.admin_directory import AdminDirectory

INVITE_LIFETIME = timedelta(hours=24)
RESERVED_USERS = frozenset({OPERATOR, "time", "policy", "distribute", "canaries"})
"""Who else acts, by the names that the audit has for them: no person may be taken for one of these."""
_CODE_BYTES = 16


@dataclass(frozen=True, slots=True)
class CreateInvite:
    """The use case behind `operator`'s invites. `attested`: whether admins prove who they are, or nobody is asked."""

    databases: Databases
    environment: Environment
    quorum: int
    attested: bool = True
    banner: str = ""

    def __call__(
        self, user: str, group_id: str, purpose: InvitePurpose = InvitePurpose.JOIN, subject: str = ""
    ) -> Data:
        """Make an invite; only the hash of its code is stored, and that is its id. Any `Refusal`."""
        code = crockford(int.from_bytes(self.environment.random(_CODE_BYTES), "big"))
        if user in RESERVED_USERS:
            raise InvalidRequest("reserved_user", "The audit knows somebody else by that name.")
        wanted = (identifier(user), identifier(group_id), purpose, subject and identifier(subject))
        made = until_won(lambda: self._make(code, *wanted), self.environment)
        return {
            "code": code,
            "invite": invite_id(code),
            "user": user,
            "group_id": group_id,
            "purpose": purpose.value,
            "expires_at": to_milliseconds(made.expires_at),
            "approvals": 0,
            "needed": made.needed,
        }

    def _make(self, code: str, user: str, group_id: str, purpose: InvitePurpose, subject: str) -> Invite:
        snapshot = self.databases.auth.get([paths.ADMINS, admin_path(user)])
        admin, register = read_admin(snapshot[admin_path(user)]), read_directory(snapshot[paths.ADMINS])
        named = _subject(admin, user, subject)
        if self.attested:
            _require_standing(admin, purpose)
            _require_own(register, user, named)
        needed = approvals_needed(register, user, self.quorum) if self.attested else 0
        now = self._announce(invite_id(code), user, group_id, purpose)
        removal = removal_version(snapshot[admin_path(user)])
        invite = Invite(user, group_id, named, purpose, needed, now, now + INVITE_LIFETIME, removal=removal)
        # Whoever becomes an admin in between changes how many must approve: that is looked at again when it is used.
        self.databases.auth.commit([Create(paths.invite(invite_id(code)), to_data(invite))])
        return invite

    def _announce(self, invite: str, user: str, group_id: str, purpose: InvitePurpose) -> datetime:
        roster = paths.roster(group_id)
        snapshot = self.databases.control.get([HEAD, roster])
        if not snapshot[roster].exists:
            raise NotFound("unknown_group", "There is no such group.")
        # The audit entry comes first: an entry without an invite is harmless, an invite without an entry is not.
        ids = {"group_id": group_id, "user": user, "invite": invite}
        invited = Transition("invite", OPERATOR, ids, reason=purpose.value)
        check = Check(roster, snapshot[roster].version)
        writes = system_writes(snapshot, [invited], snapshot.read_time, self.banner)
        self.databases.control.commit([*writes, check])
        return snapshot.read_time


def _subject(admin: Admin | None, user: str, subject: str) -> str:
    if admin is None or admin.status is AdminStatus.REMOVED:
        return subject or user
    if subject not in {"", admin.subject}:
        raise Conflict("subject_differs", "This admin is registered with another identity.")
    return admin.subject


def _require_standing(admin: Admin | None, purpose: InvitePurpose) -> None:
    if purpose is not InvitePurpose.JOIN and (admin is None or admin.status is AdminStatus.REMOVED):
        raise NotFound("unknown_admin", "There is no such admin.")
    if admin is not None and admin.status is AdminStatus.SUSPENDED:
        raise Conflict("suspended", "This admin is suspended: resume them first.")


def _require_own(register: AdminDirectory | None, user: str, subject: str) -> None:
    owner = register.owner(subject) if register else None
    if owner not in {None, user}:
        raise Conflict("subject_taken", "That identity is another admin's.")
