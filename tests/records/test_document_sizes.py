"""The largest documents that the bounds allow stay under 900 KiB: Firestore takes 1 MiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Conflict
from keyturn.ports.store import Create, Document, Snapshot, write_bytes
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminStatus, admin_path
from keyturn.records.admin_directory import MOST_ADMINS, AdminDirectory, AdminEntry, admin_writes
from keyturn.records.codec import to_data
from keyturn.records.denylist import Denylists
from keyturn.records.roster import MOST_DEVICES, Roster, RosterMember
from keyturn.use_cases.admins.edit_denylist import MOST_DENIED

from tests.world import START

if TYPE_CHECKING:
    from keyturn.domain.record import Record

LARGEST = 900 * 1024
KEY = "f" * 64


def long_id(number: int) -> str:
    """Return the longest id (docs/protocol.md §2)."""
    return f"{number:0128d}"


def full_roster() -> Roster:
    members = (RosterMember(long_id(n), KEY, n, KEY, START, START) for n in range(MOST_DEVICES))
    return Roster(long_id(0), (), tuple(members))


def full_directory() -> AdminDirectory:
    entries = (AdminEntry(long_id(n), long_id(n), AdminStatus.SUSPENDED) for n in range(MOST_ADMINS))
    return AdminDirectory(long_id(0), START, tuple(entries))


def full_denylists() -> Denylists:
    return Denylists(users=tuple(map(long_id, range(MOST_DENIED))))


@pytest.mark.parametrize(
    ("path", "entity"),
    [
        (paths.roster(long_id(0)), full_roster()),
        (paths.ADMINS, full_directory()),
        (paths.DENIED, full_denylists()),
    ],
    ids=["roster", "directory of admins", "denylists"],
)
def test_the_largest_document_stays_under_900_kib(path: str, entity: Record) -> None:
    assert write_bytes(Create(path, to_data(entity))) < LARGEST


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
