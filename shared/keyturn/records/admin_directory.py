"""The register of admins: who there is and who may act, in one document, so that who counts is decided at one instant.

It is written in the same commit as each admin's own record, the first one's too: that a deployment has had its first
admin is told by the document being there, and is never told otherwise again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict
from keyturn.ports.store import put
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminStatus, admin_path
from keyturn.records.codec import from_data, to_data

if TYPE_CHECKING:
    from keyturn.ports.store import Document, Snapshot, Write


@dataclass(frozen=True, slots=True)
class AdminEntry:
    """An admin as the register has them."""

    user: str
    subject: str
    status: AdminStatus


@dataclass(frozen=True, slots=True)
class AdminDirectory:
    """All admins of a deployment; `first` was registered before anybody could approve, at `first_at`."""

    first: str
    first_at: datetime
    admins: tuple[AdminEntry, ...] = ()

    @property
    def active(self) -> frozenset[str]:
        """The users who may act."""
        return frozenset(found.user for found in self.admins if found.status is AdminStatus.ACTIVE)

    def others(self, user: str) -> frozenset[str]:
        """Return the active admins besides one."""
        return self.active - {user}

    def owner(self, subject: str) -> str | None:
        """Return who is known to the identity provider by that id, of those who were not removed."""
        kept = (found for found in self.admins if found.status is not AdminStatus.REMOVED)
        return next((found.user for found in kept if found.subject == subject), None)

    def with_admin(self, admin: Admin) -> AdminDirectory:
        """Return the register once an admin's record says this."""
        others = tuple(found for found in self.admins if found.user != admin.user)
        return replace(self, admins=(*others, AdminEntry(admin.user, admin.subject, admin.status)))


def read_directory(document: Document) -> AdminDirectory | None:
    """Return the register; None until somebody was ever registered."""
    return from_data(AdminDirectory, document.data) if document.data is not None else None


def read_admin(document: Document) -> Admin | None:
    """Return an admin's record, if there is one."""
    return from_data(Admin, document.data) if document.data is not None else None


def removal_version(document: Document) -> str | None:
    """Return what names an admin's removal, exactly: the version of their record; None of who is not removed."""
    admin = read_admin(document)
    return str(document.version) if admin is not None and admin.status is AdminStatus.REMOVED else None


def admin_writes(snapshot: Snapshot, admin: Admin) -> list[Write]:
    """Return the writes of an admin's record and of the register, both of which were read."""
    document = snapshot[paths.ADMINS]
    register = read_directory(document) or AdminDirectory(admin.user, snapshot.read_time)
    return [
        put(snapshot[admin_path(admin.user)], to_data(admin)),
        put(document, to_data(register.with_admin(admin))),
    ]


def approvals_needed(register: AdminDirectory | None, user: str, quorum: int) -> int:
    """Return how many admins approve an invite of `user`: as many as there are besides, at most the quorum.

    Nobody approves a deployment's first admin: nobody is there. It is never first again: once somebody was registered,
    `Conflict` for somebody new whom nobody is left to approve.
    """
    if register is None:
        return 0
    others = register.others(user)
    if not others and user not in register.active:
        raise Conflict("no_approver", "No admin is left who could approve.")
    return min(quorum, len(others))
