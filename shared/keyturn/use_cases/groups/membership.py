"""Membership: who is in a group, changed by the service alone; group, roster, log and audit move in one commit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import Transition
from keyturn.domain.errors import InvalidRequest, NotFound, Unavailable
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Check, Create, put
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import Roster, RosterMember
from keyturn.use_cases.audit_log import HEAD, system_writes
from keyturn.use_cases.groups.message_log import WELCOME, GroupLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.groups import Groups, OfferedKeyPackage
    from keyturn.ports.store import Data, Snapshot, Store, Write
    from keyturn.proofs.nostr import Event


def membership_paths(group_id: str) -> list[str]:
    """Return the paths that a change of a group rests on."""
    return [HEAD, paths.FROZEN, paths.group(group_id), paths.roster(group_id)]


def require_not_frozen(snapshot: Snapshot) -> None:
    """Refuse to touch any group's keys while the store is frozen (use_cases/freeze.py); `FROZEN` was read."""
    if snapshot[paths.FROZEN].exists:
        raise Unavailable("frozen", "The store is a copy or was restored: nothing is sent until it is thawed.")


@dataclass(slots=True)
class Membership:
    """One opened group with its roster; what is done to it is written by `commit`, or not at all."""

    log: GroupLog
    roster: Roster
    snapshot: Snapshot
    done: list[Transition] = field(default_factory=list)
    also: list[Write] = field(default_factory=list)

    @classmethod
    def open(cls, groups: Groups, group_id: str, snapshot: Snapshot) -> Membership:
        """Open a group whose `wanted` paths were read; `NotFound` without one, `Unavailable` while frozen."""
        require_not_frozen(snapshot)
        document, roster = snapshot[paths.group(group_id)], snapshot[paths.roster(group_id)].data
        if not document.exists or roster is None:
            raise NotFound("unknown_group", "There is no such group.")
        log = GroupLog.open(groups, document, snapshot.read_time)
        return cls(log, from_data(Roster, roster), snapshot)

    def add_device(self, user: str, offered: OfferedKeyPackage, event: Event) -> str:
        """Add a device by the key package that it signed; the Welcome's event. An old leaf of its key goes first."""
        self._remove_leaf(offered.npub)
        commit, message = self._added(offered)
        self.log.append("commit", commit, joined=event.to_json())
        leaf = next(leaf.index for leaf in self.log.session.members if leaf.npub == offered.npub)
        self.roster = self.roster.with_member(RosterMember(user, offered.npub, leaf, event.id, self.log.now))
        self._note("join", user, offered.npub, event.id, leaf)
        tags = [["after", f"{self.log.next_index - 1:012d}"]]
        welcome = self.log.groups.envelope(WELCOME, self.log.group_id, message, self.log.now, tags)
        self._used(offered, event, welcome)
        return welcome

    def remove_device(self, member: RosterMember, action: str, actor: str, *, for_good: bool) -> None:
        """Remove a device's leaf; for good, or until it comes back with a fresh key package."""
        self._remove_leaf(member.npub)
        self.roster = self.roster.without_member(member.npub, for_good=for_good)
        self._note(action, actor, member.npub, member.key_package_event, member.leaf, user=member.user)

    def note_key_update(self, npub: str) -> None:
        """Note that a device replaced its own keys."""
        member = self.roster.member(npub)
        if member:
            self.roster = self.roster.with_member(replace(member, updated_at=self.log.now))
            self._note("update_path", member.user, npub, "", member.leaf)

    def commit(self, store: Store, banner: str) -> None:
        """Write it all, or nothing: `LostRace`."""
        audit = system_writes(self.snapshot, self.done, self.log.now, banner)
        roster = put(self.snapshot[paths.roster(self.log.group_id)], to_data(self.roster))
        thawed = Check(paths.FROZEN, self.snapshot[paths.FROZEN].version)
        store.commit([*self.log.writes(), roster, *self.also, *audit, thawed])

    def _added(self, offered: OfferedKeyPackage) -> tuple[bytes, bytes]:
        try:
            return self.log.session.add(offered.data)
        except GroupError:
            raise InvalidRequest("bad_key_package", "The key package does not fit the group.") from None

    def _remove_leaf(self, npub: str) -> None:
        for leaf in [leaf for leaf in self.log.session.members if leaf.npub == npub]:
            self.log.append("commit", self.log.session.remove(leaf.index))

    def _used(self, offered: OfferedKeyPackage, event: Event, welcome: str) -> None:
        common: Data = {"group_id": self.log.group_id, "npub": offered.npub, "at": self.log.now}
        self.also.append(Create(paths.key_package(offered.reference), {**common, "event": event.to_json()}))
        self.also.append(Create(paths.welcome(offered.reference), {**common, "event": welcome}))
        self.also.extend(self.log.relayed(event.to_json(), paths.key_package(offered.reference)))
        self.also.extend(self.log.relayed(welcome, paths.welcome(offered.reference)))

    def _note(self, action: str, actor: str, npub: str, event_id: str, leaf: int, user: str = "") -> None:
        ids = {"group_id": self.log.group_id, "npub": npub, "event_id": event_id, "user": user or actor}
        after = {"epoch": self.log.session.epoch, "leaf": leaf}
        self.done.append(Transition(action, actor, ids, after=after))


def open_membership(store: Store, groups: Groups, group_id: str, also: Sequence[str] = ()) -> Membership:
    """Read a group and open it; `also` are further paths for the same snapshot."""
    snapshot = store.get([*membership_paths(group_id), *also])
    return Membership.open(groups, group_id, snapshot)
