"""Rosters: which person stands behind which leaf of a group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from typing import TYPE_CHECKING

from keyturn.records import paths
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.ports.store import Snapshot


@dataclass(frozen=True, slots=True)
class RosterMember:
    """A person's device in a group; `key_package_event` is the id of the signed event that it was added by."""

    user: str
    npub: str
    leaf: int
    key_package_event: str
    joined_at: datetime
    updated_at: datetime | None = None
    """When the device last replaced its leaf's keys by a path update of its own."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The people of one group; the service member is not among them."""

    group_id: str
    members: tuple[RosterMember, ...] = ()
    absent: tuple[RosterMember, ...] = ()
    """Devices without a leaf that may come back with a fresh key package: silent too long, or from before a restore."""
    beside: tuple[str, ...] = ()
    """Other groups that administer a client together with this one: whose rosters a command from here may rest on."""

    def member(self, npub: str) -> RosterMember | None:
        """Return the member with that key, if there is one."""
        return next((member for member in self.members if member.npub == npub), None)

    def known(self, npub: str) -> RosterMember | None:
        """Return the member or absent device with that key, if there is one."""
        return next((member for member in (*self.members, *self.absent) if member.npub == npub), None)

    def with_member(self, member: RosterMember) -> Roster:
        """Return the roster with this device as a member, in the place of one with its key."""
        return replace(
            self,
            members=(*(item for item in self.members if item.npub != member.npub), member),
            absent=tuple(item for item in self.absent if item.npub != member.npub),
        )

    def without_member(self, npub: str, *, for_good: bool) -> Roster:
        """Return the roster without this device among its members; it may come back unless it is gone for good."""
        gone = () if for_good else tuple(item for item in self.members if item.npub == npub)
        return replace(
            self,
            members=tuple(item for item in self.members if item.npub != npub),
            absent=(*(item for item in self.absent if item.npub != npub), *gone),
        )


def read_rosters(snapshot: Snapshot, groups: Iterable[str]) -> Mapping[str, Roster]:
    """Return the rosters of those groups that exist, by group id; their documents were read before."""
    found = {group: snapshot[paths.roster(group)].data for group in groups}
    return {group: from_data(Roster, data) for group, data in found.items() if data is not None}


def people(rosters: Iterable[Roster]) -> frozenset[str]:
    """Return the users of all these groups together."""
    return frozenset(member.user for roster in rosters for member in roster.members)


def user_of(rosters: Iterable[Roster], npub: str) -> str | None:
    """Return the user behind a key in any of these groups."""
    return next((member.user for roster in rosters if (member := roster.member(npub))), None)
