"""Remove a person from a group, or from all: their leaves, their say in what is undecided, and what they have seen.

    1. the leaves, for good: from here on no notice reaches them, and no ack of theirs counts
    2. each undecided rotation that they received is canceled
    3. the clients whose live secrets they received are named: those want a rotation

Each step may be repeated: who runs it again after it died half way ends in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR
from keyturn.domain.bcrypt_import import is_imported
from keyturn.domain.commands import Cancel
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import NotFound
from keyturn.domain.model import Person, Rotation
from keyturn.ports.store import Query, scan
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.use_cases.groups.membership import open_membership
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.domain.model import ClientState, Recipient
    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.records.roster import RosterMember
    from keyturn.use_cases.client_repository import ClientReading, Clients

PAGE = 100


@dataclass(frozen=True, slots=True)
class RemovalResult:
    """What a removal came to: devices without a leaf now, rotations canceled, clients whose live secrets are known."""

    devices: Sequence[str]
    canceled: Sequence[str]
    received: Sequence[str]


@dataclass(frozen=True, slots=True)
class Departure:
    """Who leaves, with all their devices or some; for good, or until they come back with a fresh key package."""

    user: str
    for_good: bool = True
    action: str = "remove"
    npubs: frozenset[str] | None = None
    because: str = "a recipient was removed"

    def concerns(self, device: RosterMember | Recipient) -> bool:
        """Return whether a device of a group, or of a notice's recipients, is one that leaves."""
        return device.user == self.user and (self.npubs is None or device.npub in self.npubs)


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """The use case behind `keyturn group remove`, and the last step of suspending or removing an admin."""

    clients: Clients
    groups: Groups
    environment: Environment

    def __call__(self, group_id: str, user: str) -> RemovalResult:
        """Remove a user from a group; `NotFound` for a user that the group never knew and who received nothing."""
        removed = self._from([identifier(group_id)], Departure(identifier(user)))
        if not (removed.devices or removed.canceled or removed.received):
            raise NotFound("unknown_user", "The group has no such user.")
        return removed

    def everywhere(self, leaving: Departure) -> RemovalResult:
        """Have somebody leave every group that there is; nothing comes of it where they are in none."""
        known = scan(self.clients.store, Query(paths.MAINTENANCE, order_by="due_at", limit=PAGE))
        return self._from([cast("str", (found.data or {})["group_id"]) for found in known], leaving)

    def _from(self, groups: Sequence[str], leaving: Departure) -> RemovalResult:
        devices: dict[str, None] = {}
        for group_id in groups:
            gone = until_won(partial(self._leaves, group_id, leaving), self.environment)
            devices.update(dict.fromkeys(gone))
        canceled: list[str] = []
        received: list[str] = []
        for client_id in dict.fromkeys(name for group_id in groups for name in self._clients(group_id)):
            reading = until_won(partial(self._withdrawn, client_id, leaving, canceled), self.environment)
            if self._knows_live(reading, leaving):
                received.append(client_id)
        return RemovalResult(list(devices), canceled, received)

    def _leaves(self, group_id: str, leaving: Departure) -> list[str]:
        membership = open_membership(self.clients.store, self.groups, group_id)
        absent = membership.roster.absent if leaving.for_good else ()  # who may come back stays where they are
        gone = [member for member in (*membership.roster.members, *absent) if leaving.concerns(member)]
        for member in gone:
            membership.remove_device(member, leaving.action, OPERATOR, for_good=leaving.for_good)
        if gone:
            membership.commit(self.clients.store, self.clients.banner)
        return [member.npub for member in gone]

    def _clients(self, group_id: str) -> Iterator[str]:
        query = Query(paths.clients_of_group(group_id), order_by="client_id", limit=PAGE)
        return (cast("str", (item.data or {})["client_id"]) for item in scan(self.clients.store, query))

    def _withdrawn(self, client_id: str, leaving: Departure, canceled: list[str]) -> ClientReading:
        reading = self.clients.read(client_id)
        state = lifecycle.settle(reading.state, reading.policy, reading.now).state
        if state.rotation and _received(state.rotation, leaving):
            # The operator acts for the groups: nobody of them may be left who could.
            groups = frozenset(state.client.admin_groups)
            command = Cancel(
                actor=Person(OPERATOR, ""),
                groups=groups,
                people=reading.people,
                reason=leaving.because,
                rotation_id=state.rotation.rotation_id,
            )
            self.clients.commit(reading, lifecycle.decide(reading.state, command, reading.policy, reading.now))
            canceled.append(state.rotation.rotation_id)
        return reading

    def _knows_live(self, reading: ClientReading, leaving: Departure) -> bool:
        state = lifecycle.settle(reading.state, reading.policy, reading.now).state
        # Where a live version's rotation is forgotten (records/retention.py), anybody may have received it.
        return any(rotation is None or _received(rotation, leaving) for rotation in self._rotations(state))

    def _rotations(self, state: ClientState) -> list[Rotation | None]:
        wanted = [paths.rotation(version.rotation_id) for version in state.live if not is_imported(version)]
        found = self.clients.store.get(wanted).documents.values() if wanted else ()
        return [from_data(Rotation, item.data) if item.data else None for item in found]


def _received(rotation: Rotation, leaving: Departure) -> bool:
    return any(leaving.concerns(recipient) for recipient in rotation.recipients)
