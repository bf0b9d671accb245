"""Rosters: which person each leaf of a group belongs to (docs/protocol.md §12)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict
from keyturn.domain.record import OPTIONAL, Record
from keyturn.records import paths
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.ports.store import Snapshot


MOST_DEVICES = 1000
"""How many devices a group takes. A path update is sealed to each of them (docs/scale.md)."""
MOST_BESIDE = 100
"""How many other groups a roster notes. A client with a group that is not noted is read with one read more."""


@dataclass(frozen=True, slots=True)
class RosterMember(Record):
    """A person's device in a group. `key_package_event` is the id of the signed event with which it joined."""

    user: str
    npub: str
    leaf: int
    key_package_event: str
    joined_at: datetime
    updated_at: datetime | None = None
    """When the device last replaced its leaf's keys by an UpdatePath of its own (RFC 9420 §7.6)."""


@dataclass(frozen=True, slots=True)
class Roster(Record):
    """The devices of one group. The service's own leaf is not listed."""

    group_id: str
    members: tuple[RosterMember, ...] = ()
    absent: tuple[RosterMember, ...] = ()
    """Devices without a leaf that may rejoin with a fresh key package, after a long silence or a restore."""
    beside: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    """Other groups that administer a client together with this one. A command from here may depend on their rosters."""

    @property
    def is_full(self) -> bool:
        """Whether the group takes no further device. Absent devices count, because each may rejoin at any time."""
        return len(self.members) + len(self.absent) >= MOST_DEVICES

    def require_place(self) -> None:
        """Refuse (`Conflict`) a further device of a full group."""
        if self.is_full:
            raise Conflict("group_full", f"The group has {MOST_DEVICES} devices already, absent ones included.")

    def with_beside(self, groups: Iterable[str]) -> Roster:
        """Return the roster with these groups noted beside it, as far as MOST_BESIDE allows. Earlier ones stay."""
        others = dict.fromkeys((*self.beside, *sorted(groups)))
        others.pop(self.group_id, None)
        return replace(self, beside=tuple(sorted([*others][:MOST_BESIDE])))

    def member(self, npub: str) -> RosterMember | None:
        """Return the member with this key, or None."""
        return next((member for member in self.members if member.npub == npub), None)

    def find(self, npub: str) -> RosterMember | None:
        """Return the member or absent device with this key, or None."""
        return next((member for member in (*self.members, *self.absent) if member.npub == npub), None)

    def with_member(self, member: RosterMember) -> Roster:
        """Return the roster with this device as a member. It replaces a device with the same key."""
        return replace(
            self,
            members=(*(item for item in self.members if item.npub != member.npub), member),
            absent=tuple(item for item in self.absent if item.npub != member.npub),
        )

    def without_member(self, npub: str, *, for_good: bool) -> Roster:
        """Return the roster without this member. Unless `for_good`, the device is absent and may rejoin."""
        leaving = () if for_good else tuple(item for item in self.members if item.npub == npub)
        return replace(
            self,
            members=tuple(item for item in self.members if item.npub != npub),
            absent=(*(item for item in self.absent if item.npub != npub), *leaving),
        )


def read_rosters(snapshot: Snapshot, groups: Iterable[str]) -> Mapping[str, Roster]:
    """Return the rosters of those groups that exist, by group id. `snapshot` has their paths."""
    documents = {group: snapshot[paths.roster(group)].data for group in groups}
    # A group without a roster has no members, so a command that depends on it finds none and is refused.
    return {group: from_data(Roster, data) for group, data in documents.items() if data is not None}


def people(rosters: Iterable[Roster]) -> frozenset[str]:
    """Return the users of all these groups together."""
    return frozenset(member.user for roster in rosters for member in roster.members)


def user_of(rosters: Iterable[Roster], npub: str) -> str | None:
    """Return the user that a key belongs to, in any of these groups, or None if it is in none."""
    return next((member.user for roster in rosters if (member := roster.member(npub))), None)
