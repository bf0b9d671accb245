"""The directory of admins: one document with every admin's user id, subject and status.

Decisions that count admins read this one document, so the count belongs to one instant. Every commit that changes an
admin's record also writes the directory. The commit that registers the first admin creates it, and it is never
deleted: a deployment without this document has never had an admin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict
from keyturn.domain.record import Record
from keyturn.ports.store import put
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminStatus, admin_path
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from keyturn.ports.store import Document, Snapshot, Write


MOST_ADMINS = 2000
"""How many admins the directory takes: with the longest ids they fill two thirds of a document."""


@dataclass(frozen=True, slots=True)
class AdminEntry(Record):
    """One admin's entry in the directory."""

    user: str
    subject: str
    status: AdminStatus


@dataclass(frozen=True, slots=True)
class AdminDirectory(Record):
    """All admins of a deployment. `first` was registered at `first_at`, without approval by another admin."""

    first: str
    first_at: datetime
    admins: tuple[AdminEntry, ...] = ()

    @property
    def active(self) -> frozenset[str]:
        """The user ids of all active admins."""
        return frozenset(entry.user for entry in self.admins if entry.status is AdminStatus.ACTIVE)

    def others(self, user: str) -> frozenset[str]:
        """Return the active admins except `user`."""
        return self.active - {user}

    def owner(self, subject: str) -> str | None:
        """Return the user with this subject at the identity provider, ignoring removed admins."""
        remaining = (entry for entry in self.admins if entry.status is not AdminStatus.REMOVED)
        return next((entry.user for entry in remaining if entry.subject == subject), None)

    def require_place(self, user: str) -> None:
        """Refuse (`Conflict`) a further user of a full directory. Removed admins count, because their entries stay."""
        if len(self.admins) >= MOST_ADMINS and all(entry.user != user for entry in self.admins):
            raise Conflict("too_many_admins", f"The deployment has {MOST_ADMINS} admins, removed ones included.")

    def with_admin(self, admin: Admin) -> AdminDirectory:
        """Return the directory with this admin's entry added or updated."""
        new = AdminEntry(admin.user, admin.subject, admin.status)
        before = next((entry for entry in self.admins if entry.user == admin.user), new)
        others = tuple(entry for entry in self.admins if entry.user != admin.user)
        return replace(self, admins=(*others, replace(before, subject=admin.subject, status=admin.status)))


def read_directory(document: Document) -> AdminDirectory | None:
    """Return the directory, or None if no admin was ever registered."""
    return from_data(AdminDirectory, document.data) if document.data is not None else None


def read_admin(document: Document) -> Admin | None:
    """Return an admin's record, or None if there is none."""
    return from_data(Admin, document.data) if document.data is not None else None


def removal_version(document: Document) -> str | None:
    """Return the version of a removed admin's record, which identifies the removal, or None if not removed."""
    admin = read_admin(document)
    # A removed admin's record does not change until the admin registers again, so its version identifies the removal.
    return str(document.version) if admin is not None and admin.status is AdminStatus.REMOVED else None


def admin_writes(snapshot: Snapshot, admin: Admin) -> list[Write]:
    """Return the writes of an admin's record and of the directory. Both documents are in `snapshot`."""
    document = snapshot[paths.ADMINS]
    directory = read_directory(document) or AdminDirectory(admin.user, snapshot.read_time)
    directory.require_place(admin.user)
    # Always both, so that the directory and the records never disagree (checked by `keyturn doctor`).
    return [
        put(snapshot[admin_path(admin.user)], to_data(admin)),
        put(document, to_data(directory.with_admin(admin))),
    ]


def approvals_needed(directory: AdminDirectory | None, user: str, quorum: int) -> int:
    """Return how many admins have to approve an invite of `user`: all other active admins, at most `quorum`.

    The first admin of a deployment needs no approval, because no admin exists yet. Raise `Conflict` for a new
    user when the directory exists and has no active admin: that admin could register without any approval.
    """
    if directory is None:
        return 0
    others = directory.others(user)
    if not others and user not in directory.active:
        raise Conflict("no_approver", "No active admin is left to approve this.")
    return min(quorum, len(others))
