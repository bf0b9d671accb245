"""Suspend, resume and remove admins, and revoke single devices. Every intermediate state is safe.

    1. database `auth`: the status in the admin's record and in the directory. From here on the admin gets no proof.
    2. database `control`: the document `admin_standing/{user}`, which bars the admin from joining groups, with the
       audit entry
    3. every group: the admin's leaves are removed, active rotations that the admin received are canceled, and clients
       with live secrets that the admin received are reported

Each step can be repeated. An act that is interrupted and run again ends in the same state.

A suspended admin returns in the opposite order: first approval by another admin (if there is one), then the status,
then the bar is removed (docs/protocol.md §7).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier, length_prefixed, npub_identifier
from keyturn.domain.errors import Conflict, NotFound
from keyturn.ports.store import delete, put, update
from keyturn.records import paths
from keyturn.records.admin import AdminStatus, admin_path
from keyturn.records.admin_directory import admin_writes, approvals_needed, read_admin, read_directory
from keyturn.records.codec import from_data, to_data
from keyturn.records.invite import Invite, InvitePurpose
from keyturn.use_cases.admins.create_invite import INVITE_LIFETIME
from keyturn.use_cases.audit_log import announce_once, audit_heads, audit_writes
from keyturn.use_cases.groups.remove_user import Departure
from keyturn.use_cases.optimistic import UNNAMED, Call, until_won

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Databases, Document, Snapshot
    from keyturn.records.admin import Admin
    from keyturn.use_cases.groups.remove_user import RemovalResult, RemoveUser

_ACTIONS = {AdminStatus.SUSPENDED: "suspend_admin", AdminStatus.REMOVED: "remove_admin"}


@dataclass(frozen=True, slots=True)
class ManageAdmins:
    """The use cases behind `operator`'s admins. `quorum` is the number of approvals that a return needs."""

    databases: Databases
    remove_user: RemoveUser
    environment: Environment
    quorum: int
    banner: str = ""

    def admins(self) -> list[Admin]:
        """Return all admins by user id, suspended and removed ones too."""
        directory = read_directory(self.databases.auth.get([paths.ADMINS])[paths.ADMINS])
        admin_paths = sorted(admin_path(entry.user) for entry in directory.admins) if directory else []
        documents = self.databases.auth.get(admin_paths).documents.values() if admin_paths else ()
        return [admin for document in documents if (admin := read_admin(document)) is not None]

    def suspend(self, user: str, call: Call = UNNAMED) -> RemovalResult:
        """Suspend an admin. Raise `NotFound` for an unknown one and `Conflict` for a removed one."""
        return self._stop(identifier(user), AdminStatus.SUSPENDED, call)

    def remove(self, user: str, call: Call = UNNAMED) -> RemovalResult:
        """Remove an admin for good. Raise `NotFound` for an unknown one."""
        return self._stop(identifier(user), AdminStatus.REMOVED, call)

    def resume(self, user: str) -> str | None:
        """Let a suspended admin act again.

        Return None once that is done, or the id of the invite that another admin has to approve first.
        """
        return until_won(lambda: self._resume(identifier(user)), self.environment)

    def revoke(self, user: str, npubs: Sequence[str], call: Call = UNNAMED) -> RemovalResult:
        """Revoke devices of an admin for good. Raise `NotFound` for a key that never was this admin's."""
        keys = frozenset(map(npub_identifier, npubs))
        until_won(lambda: self._unregister(identifier(user), keys), self.environment)
        because = "a device was revoked"
        departure = Departure(user, for_good=True, action="revoke_device", npubs=keys, because=because, call=call)
        return self.remove_user.everywhere(departure)

    # --- suspend and remove ------------------------------------------------------------------------------------------

    def _stop(self, user: str, status: AdminStatus, call: Call) -> RemovalResult:
        # The order matters: without a proof the admin cannot act while the slower steps are still running.
        until_won(lambda: self._set_status(user, status), self.environment)
        until_won(lambda: self._bar(user, status), self.environment)
        for_good = status is AdminStatus.REMOVED
        because = f"a recipient was {status.value}"
        departure = Departure(user, for_good=for_good, action=_ACTIONS[status], because=because, call=call)
        return self.remove_user.everywhere(departure)

    def _set_status(self, user: str, status: AdminStatus) -> None:
        snapshot, admin = self._read_admin(user)
        if admin.status is AdminStatus.REMOVED and status is not AdminStatus.REMOVED:
            raise admin_removed()
        if admin.status is not status:
            self.databases.auth.commit(admin_writes(snapshot, replace(admin, status=status)))

    def _bar(self, user: str, status: AdminStatus) -> None:
        path = paths.suspension(user)
        snapshot = self.databases.control.get([*audit_heads(), path])
        if snapshot[path].exists and snapshot[path].text("status") == status.value:
            return
        transition = Transition(_ACTIONS[status], OPERATOR, {"user": user}, after={"status": status.value})
        suspension: Data = {"user": user, "status": status.value, "at": snapshot.read_time}
        audit = audit_writes(snapshot, [transition], snapshot.read_time, self.banner)
        self.databases.control.commit([*audit, update(snapshot[path], suspension)])

    def _unregister(self, user: str, npubs: frozenset[str]) -> None:
        keys = [paths.npub(npub) for npub in sorted(npubs)]
        snapshot, admin = self._read_admin(user, keys)
        # The document of a key stays when its device is revoked, so a repeated revocation finds it.
        if not all((snapshot[key].data or {}).get("user") == user for key in keys):
            raise NotFound("unknown_device", "This admin never had such a device.")
        registered = [device.npub for device in admin.devices if device.npub in npubs]
        version = str(snapshot[admin_path(user)].version)
        for npub in registered:
            transition = Transition("revoke_device", OPERATOR, {"user": user, "npub": npub})
            announce_once(self.databases.control, (user, npub, version), transition, self.banner)
        if registered:
            remaining = tuple(device for device in admin.devices if device.npub not in npubs)
            self.databases.auth.commit(admin_writes(snapshot, replace(admin, devices=remaining)))

    def _read_admin(self, user: str, also: Sequence[str] = ()) -> tuple[Snapshot, Admin]:
        snapshot = self.databases.auth.get([admin_path(user), paths.ADMINS, *also])
        admin = read_admin(snapshot[admin_path(user)])
        if admin is None:
            raise NotFound("unknown_admin", "There is no such admin.")
        return snapshot, admin

    # --- resume ------------------------------------------------------------------------------------------------------

    def _resume(self, user: str) -> str | None:
        snapshot, admin = self._read_admin(user)
        if admin.status is AdminStatus.REMOVED:
            raise admin_removed()
        if admin.status is AdminStatus.SUSPENDED:
            pending_invite = self._reinstate(snapshot, admin)
            if pending_invite:
                return pending_invite
        self._remove_bar(user)
        return None

    def _reinstate(self, snapshot: Snapshot, admin: Admin) -> str | None:
        """Make the admin active if enough others approved. Otherwise return the id of the invite to approve."""
        directory = read_directory(snapshot[paths.ADMINS])
        others = directory.others(admin.user) if directory else frozenset[str]()
        # Without another active admin the operator alone decides. Otherwise a deployment with all of its admins
        # suspended would be locked out for ever.
        needed = approvals_needed(directory, admin.user, self.quorum) if others else 0
        # The version of the record is part of the id, so an approval of an earlier suspension does not count.
        version = str(snapshot[admin_path(admin.user)].version)
        invite_id = hashlib.sha256(length_prefixed("keyturn/resume/v1", admin.user, version)).hexdigest()
        document = self.databases.auth.get([paths.invite(invite_id)])[paths.invite(invite_id)]
        invite = self._open_invite(document, admin.user, needed, snapshot)
        if len(invite.approvers & others) < needed:
            if document.data is None or from_data(Invite, document.data) != invite:
                self.databases.auth.commit([put(document, to_data(invite))])
            return invite_id
        self.databases.auth.commit(admin_writes(snapshot, replace(admin, status=AdminStatus.ACTIVE)))
        return None

    def _open_invite(self, document: Document, user: str, needed: int, snapshot: Snapshot) -> Invite:
        """Return the stored invite unless it has expired, otherwise a new one."""
        invite = from_data(Invite, document.data) if document.data is not None else None
        if invite is not None and invite.expires_at > snapshot.read_time:
            return invite
        now = snapshot.read_time
        return Invite(user, "", "", InvitePurpose.RESUME, needed, now, now + INVITE_LIFETIME)

    def _remove_bar(self, user: str) -> None:
        path = paths.suspension(user)
        snapshot = self.databases.control.get([*audit_heads(), path])
        if not snapshot[path].exists:
            return
        status = AdminStatus.ACTIVE.value
        transition = Transition("resume_admin", OPERATOR, {"user": user}, after={"status": status})
        audit = audit_writes(snapshot, [transition], snapshot.read_time, self.banner)
        self.databases.control.commit([*audit, delete(snapshot[path])])


def admin_removed() -> Conflict:
    """Return the refusal to suspend or resume a removed admin."""
    return Conflict("removed", "This admin was removed. Only a new invite brings a removed admin back.")
