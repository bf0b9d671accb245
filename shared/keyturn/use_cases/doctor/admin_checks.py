"""Checks of admins, in the database `auth`: the directory, the records and the keys agree (docs/protocol.md §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.records import paths
from keyturn.records.admin import admin_path
from keyturn.records.admin_directory import read_admin, read_directory
from keyturn.use_cases.doctor.findings import CheckFinding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.ports.store import Document, Snapshot, Store
    from keyturn.records.admin import Admin
    from keyturn.records.admin_directory import AdminEntry


@dataclass(frozen=True, slots=True)
class AdminDocuments:
    """The directory and all documents that it leads to, read while the directory did not change."""

    directory: Document
    records: Snapshot
    keys: Snapshot

    @property
    def own(self) -> Sequence[Document]:
        """All of these documents that exist."""
        documents = (self.directory, *self.records.documents.values(), *self.keys.documents.values())
        return [document for document in documents if document.exists]


def read_admin_documents(auth: Store, document: Document) -> AdminDocuments:
    """Return the documents that the directory leads to."""
    directory = read_directory(document)
    records = auth.get([admin_path(entry.user) for entry in directory.admins] if directory else [])
    admins = [admin for record in records.documents.values() if (admin := read_admin(record))]
    keys = auth.get(dict.fromkeys(paths.npub(device.npub) for admin in admins for device in admin.devices))
    return AdminDocuments(document, records, keys)


def admin_findings(documents: AdminDocuments) -> Iterator[CheckFinding]:
    """Yield the broken rules of admins."""
    directory = read_directory(documents.directory)
    for entry in directory.admins if directory else ():
        path = admin_path(entry.user)
        admin = read_admin(documents.records[path])
        if admin is None:
            yield CheckFinding("the directory names an admin without a record", path)
        elif not _agree(entry, admin):
            yield CheckFinding("the directory and an admin's record disagree", path)
        else:
            yield from _device_findings(documents, admin)


def _agree(entry: AdminEntry, admin: Admin) -> bool:
    return (entry.user, entry.subject, entry.status) == (admin.user, admin.subject, admin.status)


def _device_findings(documents: AdminDocuments, admin: Admin) -> Iterator[CheckFinding]:
    npubs = [device.npub for device in admin.devices]
    if len(npubs) != len(set(npubs)):
        yield CheckFinding("an admin has a device twice", admin_path(admin.user))
    for path in map(paths.npub, npubs):
        # `admin_proof` finds the admin by this document. A wrong one would judge a proof by another admin's record.
        if (documents.keys[path].data or {}).get("user") != admin.user:
            yield CheckFinding("a registered device's key does not name its admin", path)
