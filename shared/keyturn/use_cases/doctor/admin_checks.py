"""What must hold of admins, in the database auth: the register and every record say the same, and keys lead to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.records import paths
from keyturn.records.admin import admin_path
from keyturn.records.admin_directory import read_admin, read_directory
from keyturn.use_cases.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.ports.store import Document, Snapshot, Store
    from keyturn.records.admin import Admin
    from keyturn.records.admin_directory import AdminEntry


@dataclass(frozen=True, slots=True)
class AdminDocuments:
    """The register, and all that it leads to, as they were while it stood still."""

    register: Document
    records: Snapshot
    keys: Snapshot

    @property
    def own(self) -> Sequence[Document]:
        """All documents that there are."""
        found = (self.register, *self.records.documents.values(), *self.keys.documents.values())
        return [document for document in found if document.exists]


def read_admin_documents(auth: Store, register: Document) -> AdminDocuments:
    """Return what the register leads to."""
    known = read_directory(register)
    records = auth.get([admin_path(found.user) for found in known.admins] if known else [])
    admins = [admin for document in records.documents.values() if (admin := read_admin(document))]
    keys = auth.get(dict.fromkeys(paths.npub(device.npub) for admin in admins for device in admin.devices))
    return AdminDocuments(register, records, keys)


def admin_findings(found: AdminDocuments) -> Iterator[Finding]:
    """Yield what is wrong with admins."""
    register = read_directory(found.register)
    for listed in register.admins if register else ():
        path = admin_path(listed.user)
        admin = read_admin(found.records[path])
        if admin is None:
            yield Finding("the register names an admin without a record", path)
        elif not _says_the_same(listed, admin):
            yield Finding("the register and an admin's record disagree", path)
        else:
            yield from _device_findings(found, admin)


def _says_the_same(listed: AdminEntry, admin: Admin) -> bool:
    return (listed.user, listed.subject, listed.status) == (admin.user, admin.subject, admin.status)


def _device_findings(found: AdminDocuments, admin: Admin) -> Iterator[Finding]:
    npubs = [device.npub for device in admin.devices]
    if len(npubs) != len(set(npubs)):
        yield Finding("an admin has a device twice", admin_path(admin.user))
    for path in map(paths.npub, npubs):
        if (found.keys[path].data or {}).get("user") != admin.user:
            yield Finding("a registered device's key does not lead to its admin", path)
