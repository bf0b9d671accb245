"""The largest documents that the bounds allow stay under 900 KiB: Firestore takes 1 MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Conflict
from keyturn.ports.attestation import DeviceKey
from keyturn.ports.store import Create, Document, Snapshot, write_bytes
from keyturn.records import paths
from keyturn.records.admin import MOST_DEVICES_OF_ADMIN, Admin, AdminDevice, AdminStatus, admin_path
from keyturn.records.admin_directory import MOST_ADMINS, AdminDirectory, AdminEntry, admin_writes
from keyturn.records.codec import to_data
from keyturn.records.roster import MOST_BESIDE, Roster
from keyturn.records.schema import KINDS, DocumentKind

from tests.records.largest_documents import GIVEN, ID, of_shape
from tests.world import START

if TYPE_CHECKING:
    from keyturn.ports.store import Value

LARGEST = 900 * 1024


def long_id(number: int) -> str:
    """Return the longest id (docs/protocol.md §2)."""
    return f"{number:0128d}"


def full_directory() -> AdminDirectory:
    entries = (AdminEntry(long_id(n), long_id(n), AdminStatus.SUSPENDED) for n in range(MOST_ADMINS))
    return AdminDirectory(long_id(0), START, tuple(entries))


def data_of(kind: DocumentKind) -> dict[str, Value]:
    return of_shape(kind.shape, **GIVEN[kind.pattern])


def test_every_kind_of_document_has_a_largest_one() -> None:
    assert GIVEN.keys() == {kind.pattern for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
def test_the_largest_document_stays_under_900_kib(kind: DocumentKind) -> None:
    path = "/".join(ID if part.startswith("{") else part for part in kind.pattern.split("/"))
    assert write_bytes(Create(path, data_of(kind))) < LARGEST


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
def test_the_largest_document_is_one_of_its_kind(kind: DocumentKind) -> None:
    assert list(kind.shape.problems(data_of(kind))) == []


def test_a_full_directory_takes_no_further_admin() -> None:
    directory = Document(paths.ADMINS, to_data(full_directory()), "1")
    for user, is_known in ((long_id(7), True), ("one-more", False)):
        document = Document(admin_path(user), None, None)
        snapshot = Snapshot({paths.ADMINS: directory, document.path: document}, START)
        admin = Admin(user, user, AdminStatus.ACTIVE, (), b"")
        if is_known:
            assert len(admin_writes(snapshot, admin)) == 2
        else:
            with pytest.raises(Conflict, match="2000 admins"):
                admin_writes(snapshot, admin)


def test_an_admin_with_the_most_devices_takes_no_further_one() -> None:
    devices = tuple(AdminDevice(long_id(n), DeviceKey("dev", "d", b"k")) for n in range(MOST_DEVICES_OF_ADMIN))
    admin = Admin("user", "user", AdminStatus.ACTIVE, devices[1:], b"")
    admin.require_place()
    admin = admin.with_device(devices[0])
    admin.require_place(devices[0].npub)  # a device with the same key is replaced
    for npub in (None, "f" * 64):
        with pytest.raises(Conflict, match="50 devices"):
            admin.require_place(npub)


def test_a_roster_notes_no_more_groups_than_it_may() -> None:
    roster = Roster("own").with_beside(["own", "first"])
    assert roster.beside == ("first",)
    roster = roster.with_beside(f"group-{n:03d}" for n in range(MOST_BESIDE))
    assert len(roster.beside) == MOST_BESIDE
    assert {"first", "group-000"} <= {*roster.beside}  # the groups that were noted earlier stay
    assert roster.with_beside(["one-more"]) == roster
