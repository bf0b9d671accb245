"""Group membership: which devices are in an MLS group. Only the service changes it.

Rules (docs/protocol.md §12):

1. The group's sealed state, its roster, its message log and the audit entries change in one commit, or not at all.
2. The service is the only sender of commits, so each group has one linear history (RFC 9420 §14).
3. A key package is used once (RFC 9420 §10). The commit creates a document under its reference, so a second use
   loses the race.
4. No membership changes while the store is frozen (`use_cases.groups.freeze`).
"""

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
from keyturn.use_cases.audit_log import audit_heads, audit_writes
from keyturn.use_cases.groups.message_log import WELCOME, GroupLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.groups import Groups, OfferedKeyPackage
    from keyturn.ports.store import Data, Snapshot, Store, Write
    from keyturn.proofs.nostr import Event


def membership_paths(group_id: str) -> list[str]:
    """Return the paths that a change of a group's membership depends on."""
    return [*audit_heads(group_id), paths.FROZEN, paths.group(group_id), paths.roster(group_id)]


def require_not_frozen(snapshot: Snapshot) -> None:
    """Refuse (`Unavailable`) to use any group's keys while the store is frozen. The snapshot has `paths.FROZEN`."""
    if snapshot[paths.FROZEN].exists:
        raise Unavailable("frozen", "The store was copied or restored: nothing is sent until `keyturn thaw`.")


@dataclass(slots=True)
class Membership:
    """An open group with its roster. `commit` writes all changes at once."""

    log: GroupLog
    roster: Roster
    snapshot: Snapshot
    transitions: list[Transition] = field(default_factory=list)
    extra_writes: list[Write] = field(default_factory=list)
    """Further writes and checks of the same commit."""

    @classmethod
    def open(cls, groups: Groups, group_id: str, snapshot: Snapshot) -> Membership:
        """Open a group from a snapshot with its `membership_paths`.

        Raise `NotFound` for an unknown group and `Unavailable` while the store is frozen.
        """
        require_not_frozen(snapshot)
        document, roster = snapshot[paths.group(group_id)], snapshot[paths.roster(group_id)].data
        if not document.exists or roster is None:
            raise NotFound("unknown_group", "There is no such group.")
        log = GroupLog.open(groups, document, snapshot.read_time)
        return cls(log, from_data(Roster, roster), snapshot)

    def add_device(self, user: str, key_package: OfferedKeyPackage, event: Event) -> str:
        """Add a device by the key package that it signed, and return the Welcome's event (JSON).

        An old leaf with the same key is removed first. Raise `Conflict` if the group is full.
        """
        if self.roster.find(key_package.npub) is None:
            self.roster.require_place()
        self._remove_leaf(key_package.npub)
        commit, message = self._add_leaf(key_package)
        self.log.append("commit", commit, joined=event.to_json())
        leaf = next(leaf.index for leaf in self.log.session.members if leaf.npub == key_package.npub)
        self.roster = self.roster.with_member(RosterMember(user, key_package.npub, leaf, event.id, self.log.now))
        self._note("join", user, key_package.npub, event.id, leaf)
        # The tag tells the device where the log continues after the commit that added it.
        tags = [["after", f"{self.log.next_index - 1:012d}"]]
        welcome = self.log.groups.envelope(WELCOME, self.log.group_id, message, self.log.now, tags)
        self._mark_used(key_package, event, welcome)
        return welcome

    def remove_device(self, member: RosterMember, action: str, actor: str, *, for_good: bool) -> None:
        """Remove a device's leaf: for good, or until the device rejoins with a fresh key package."""
        self._remove_leaf(member.npub)
        self.roster = self.roster.without_member(member.npub, for_good=for_good)
        self._note(action, actor, member.npub, member.key_package_event, member.leaf, user=member.user)

    def note_key_update(self, npub: str) -> None:
        """Record that a device replaced its own leaf keys (RFC 9420 §7.6)."""
        member = self.roster.member(npub)
        if member:
            self.roster = self.roster.with_member(replace(member, updated_at=self.log.now))
            self._note("update_path", member.user, npub, "", member.leaf)

    def commit(self, store: Store, banner: str) -> None:
        """Write all changes in one commit. Raise `LostRace` if a document changed since it was read."""
        audit = audit_writes(self.snapshot, self.transitions, self.log.now, banner)
        roster = put(self.snapshot[paths.roster(self.log.group_id)], to_data(self.roster))
        # A freeze that is written after this group was opened must win: a copied store may not change any group.
        not_frozen = Check(paths.FROZEN, self.snapshot[paths.FROZEN].version)
        store.commit([*self.log.writes(), roster, *self.extra_writes, *audit, not_frozen])

    def _add_leaf(self, key_package: OfferedKeyPackage) -> tuple[bytes, bytes]:
        try:
            return self.log.session.add(key_package.data)
        except GroupError:
            raise InvalidRequest("bad_key_package", "The key package does not fit the group.") from None

    def _remove_leaf(self, npub: str) -> None:
        for leaf in [leaf for leaf in self.log.session.members if leaf.npub == npub]:
            self.log.append("commit", self.log.session.remove(leaf.index))

    def _mark_used(self, key_package: OfferedKeyPackage, event: Event, welcome: str) -> None:
        reference = key_package.reference
        common: Data = {"group_id": self.log.group_id, "npub": key_package.npub, "at": self.log.now}
        self.extra_writes.append(Create(paths.key_package(reference), {**common, "event": event.to_json()}))
        self.extra_writes.append(Create(paths.welcome(reference), {**common, "event": welcome}))
        self.extra_writes.extend(self.log.relay_writes(event.to_json(), paths.key_package(reference)))
        self.extra_writes.extend(self.log.relay_writes(welcome, paths.welcome(reference)))

    def _note(self, action: str, actor: str, npub: str, event_id: str, leaf: int, user: str = "") -> None:
        ids = {"group_id": self.log.group_id, "npub": npub, "event_id": event_id, "user": user or actor}
        after = {"epoch": self.log.session.epoch, "leaf": leaf}
        self.transitions.append(Transition(action, actor, ids, after=after))


def open_membership(store: Store, groups: Groups, group_id: str, also: Sequence[str] = ()) -> Membership:
    """Read a group and open it. `also` are further paths for the same snapshot."""
    snapshot = store.get([*membership_paths(group_id), *also])
    return Membership.open(groups, group_id, snapshot)
