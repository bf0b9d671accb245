"""Standing: suspend, resume and remove admins, and take single devices from them; what each step leaves is safe.

    1. database auth: the admin's status, and the register's; from here on no proof
    2. database control: why they get no leaf (`admin_standing`), with the audit entry
    3. every group: their leaves; undecided rotations that they received; what they know is told

Each may be repeated: who does it again after it died half way ends in the same place. Back comes a suspended admin the
other way round: another admin approves where there is one; then the status, then the bar to a leaf goes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier, length_prefixed, npub_identifier
from keyturn.domain.errors import Conflict, NotFound
from keyturn.ports.store import Delete, put
from keyturn.records import paths
from keyturn.records.admin import AdminStatus, admin_path
from keyturn.records.admin_directory import admin_writes, approvals_needed, read_admin, read_directory
from keyturn.records.codec import from_data, to_data
from keyturn.records.invite import Invite, InvitePurpose
from keyturn.use_cases.admins.create_invite import INVITE_LIFETIME
from keyturn.use_cases.audit_log import HEAD, announce_once, system_writes
from keyturn.use_cases.groups.remove_user import Departure
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Databases, Document, Snapshot
    from keyturn.records.admin import Admin
    from keyturn.use_cases.groups.remove_user import RemovalResult, RemoveUser

_ACTIONS = {AdminStatus.SUSPENDED: "suspend_admin", AdminStatus.REMOVED: "remove_admin"}


@dataclass(frozen=True, slots=True)
class ManageAdmins:
    """The use cases behind `operator`'s admins; `quorum` is how many approve a return, where there are so many."""

    databases: Databases
    leave: RemoveUser
    environment: Environment
    quorum: int
    banner: str = ""

    def admins(self) -> list[Admin]:
        """Return all admins there ever were, by user."""
        register = read_directory(self.databases.auth.get([paths.ADMINS])[paths.ADMINS])
        wanted = [admin_path(found.user) for found in register.admins] if register else []
        found = self.databases.auth.get(sorted(wanted)).documents.values() if wanted else ()
        return [admin for document in found if (admin := read_admin(document)) is not None]

    def suspend(self, user: str) -> RemovalResult:
        """Stop an admin until they are resumed; what it came to. `NotFound`, or `Conflict` for who was removed."""
        return self._stop(identifier(user), AdminStatus.SUSPENDED)

    def remove(self, user: str) -> RemovalResult:
        """Stop an admin for good; what it came to. `NotFound` for an unknown one."""
        return self._stop(identifier(user), AdminStatus.REMOVED)

    def resume(self, user: str) -> str | None:
        """Let a suspended admin act again; None once it is done, else the id of what another admin has to approve."""
        return until_won(lambda: self._resume(identifier(user)), self.environment)

    def revoke(self, user: str, npubs: Sequence[str]) -> RemovalResult:
        """Take devices from an admin, for good; what it came to. `NotFound` for keys that were never theirs."""
        named = frozenset(map(npub_identifier, npubs))
        until_won(lambda: self._unregister(identifier(user), named), self.environment)
        leaving = Departure(user, for_good=True, action="revoke_device", npubs=named, because="a device was revoked")
        return self.leave.everywhere(leaving)

    # --- out ---------------------------------------------------------------------------------------------------------

    def _stop(self, user: str, status: AdminStatus) -> RemovalResult:
        until_won(lambda: self._unprove(user, status), self.environment)
        until_won(lambda: self._bar(user, status), self.environment)
        for_good = status is AdminStatus.REMOVED
        return self.leave.everywhere(
            Departure(user, for_good=for_good, action=_ACTIONS[status], because=f"a recipient was {status.value}")
        )

    def _unprove(self, user: str, status: AdminStatus) -> None:
        snapshot, admin = self._admin(user)
        if admin.status is AdminStatus.REMOVED and status is not AdminStatus.REMOVED:
            raise removed()
        if admin.status is not status:
            self.databases.auth.commit(admin_writes(snapshot, replace(admin, status=status)))

    def _bar(self, user: str, status: AdminStatus) -> None:
        path = paths.suspension(user)
        snapshot = self.databases.control.get([HEAD, path])
        known = snapshot[path].data
        if known is not None and known["status"] == status.value:
            return
        done = Transition(_ACTIONS[status], OPERATOR, {"user": user}, after={"status": status.value})
        barred: Data = {"user": user, "status": status.value, "at": snapshot.read_time}
        writes = system_writes(snapshot, [done], snapshot.read_time, self.banner)
        self.databases.control.commit([*writes, put(snapshot[path], barred)])

    def _unregister(self, user: str, npubs: frozenset[str]) -> None:
        keys = [paths.npub(npub) for npub in sorted(npubs)]
        snapshot, admin = self._admin(user, keys)
        if not all((snapshot[key].data or {}).get("user") == user for key in keys):
            raise NotFound("unknown_device", "This admin never had such a device.")
        gone = [device.npub for device in admin.devices if device.npub in npubs]
        version = str(snapshot[admin_path(user)].version)
        for npub in gone:
            done = Transition("revoke_device", OPERATOR, {"user": user, "npub": npub})
            announce_once(self.databases.control, (user, npub, version), done, self.banner)
        if gone:
            kept = tuple(device for device in admin.devices if device.npub not in npubs)
            self.databases.auth.commit(admin_writes(snapshot, replace(admin, devices=kept)))

    def _admin(self, user: str, also: Sequence[str] = ()) -> tuple[Snapshot, Admin]:
        snapshot = self.databases.auth.get([admin_path(user), paths.ADMINS, *also])
        admin = read_admin(snapshot[admin_path(user)])
        if admin is None:
            raise NotFound("unknown_admin", "There is no such admin.")
        return snapshot, admin

    # --- back --------------------------------------------------------------------------------------------------------

    def _resume(self, user: str) -> str | None:
        snapshot, admin = self._admin(user)
        if admin.status is AdminStatus.REMOVED:
            raise removed()
        if admin.status is AdminStatus.SUSPENDED:
            awaited = self._reinstate(snapshot, admin)
            if awaited:
                return awaited
        self._unbar(user)
        return None

    def _reinstate(self, snapshot: Snapshot, admin: Admin) -> str | None:
        register = read_directory(snapshot[paths.ADMINS])
        if register is not None and not register.others(admin.user):
            needed = 0  # nobody is there to approve: else the last two, suspended, would lock everybody out
        else:
            needed = approvals_needed(register, admin.user, self.quorum)
        # The id names this suspension: the record changes with the next one.
        about = length_prefixed("keyturn/resume/v1", admin.user, str(snapshot[admin_path(admin.user)].version))
        name = hashlib.sha256(about).hexdigest()
        document = self.databases.auth.get([paths.invite(name)])[paths.invite(name)]
        asked = self._asked(document, admin.user, needed, snapshot)
        given = asked.approvers & (register.others(admin.user) if register else frozenset())
        if len(given) < needed:
            if document.data is None or from_data(Invite, document.data) != asked:
                self.databases.auth.commit([put(document, to_data(asked))])
            return name
        self.databases.auth.commit(admin_writes(snapshot, replace(admin, status=AdminStatus.ACTIVE)))
        return None

    def _asked(self, document: Document, user: str, needed: int, snapshot: Snapshot) -> Invite:
        known = from_data(Invite, document.data) if document.data is not None else None
        if known is not None and known.expires_at > snapshot.read_time:
            return known
        now = snapshot.read_time
        return Invite(user, "", "", InvitePurpose.RESUME, needed, now, now + INVITE_LIFETIME)

    def _unbar(self, user: str) -> None:
        path = paths.suspension(user)
        snapshot = self.databases.control.get([HEAD, path])
        version = snapshot[path].version
        if version is None:
            return
        done = Transition("resume_admin", OPERATOR, {"user": user}, after={"status": AdminStatus.ACTIVE.value})
        writes = system_writes(snapshot, [done], snapshot.read_time, self.banner)
        self.databases.control.commit([*writes, Delete(path, version)])


def removed() -> Conflict:
    """Return the refusal to change the standing of who was removed."""
    return Conflict("removed", "This admin was removed: only a new invite brings them back.")
