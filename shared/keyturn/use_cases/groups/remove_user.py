"""Remove a user from one group, or from all of them.

    1. The user's leaves are removed. From here on these devices get no notice, and their acknowledgements do not count.
    2. Each active rotation that they received is canceled, unless its promotion is too near (docs/protocol.md §4).
    3. The clients with live secrets that they received are reported: those secrets should be rotated.

Each step can be repeated. A removal that is interrupted and run again ends in the same state.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR
from keyturn.domain.commands import Cancel
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Broken, Conflict, NotFound
from keyturn.domain.imported_secret import is_imported
from keyturn.domain.model import Person, Rotation
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Query, scan
from keyturn.records import paths
from keyturn.records.codec import readable
from keyturn.use_cases.groups.membership import open_membership
from keyturn.use_cases.optimistic import UNNAMED, Call, until_won_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.domain.model import ClientState, Recipient
    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data
    from keyturn.records.roster import RosterMember
    from keyturn.use_cases.client_repository import ClientReading, Clients
    from keyturn.use_cases.optimistic import Act

_log = logging.getLogger(__name__)

PAGE = 100


@dataclass(frozen=True, slots=True)
class RemovalResult:
    """The effects of a removal.

    `devices` lost their leaves, `canceled` are rotation ids, `received` are the clients with live secrets that
    the user received. The names are those of the answer on the wire.
    """

    devices: Sequence[str]
    canceled: Sequence[str]
    received: Sequence[str]


@dataclass(frozen=True, slots=True)
class Departure:
    """The user that leaves, with all devices or only `npubs`.

    Unless `for_good`, the devices may rejoin with a fresh key package.
    """

    user: str
    for_good: bool = True
    action: str = "remove"
    npubs: frozenset[str] | None = None
    because: str = "a recipient was removed"
    call: Call = UNNAMED

    def concerns(self, device: RosterMember | Recipient) -> bool:
        """Return whether a member of a group, or a recipient of a notice, is one of the leaving devices."""
        return device.user == self.user and (self.npubs is None or device.npub in self.npubs)


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """The use case behind `keyturn group remove`, and the last step of suspending or removing an admin."""

    clients: Clients
    groups: Groups
    environment: Environment

    def __call__(self, group_id: str, user: str, call: Call = UNNAMED) -> RemovalResult:
        """Remove a user from a group. Raise `NotFound` for a user that never was in it and received nothing."""
        result = self._remove([identifier(group_id)], Departure(identifier(user), call=call))
        if not (result.devices or result.canceled or result.received):
            raise NotFound("unknown_user", "The group has no such user.")
        return result

    def everywhere(self, departure: Departure) -> RemovalResult:
        """Remove a user from every group. The result is empty if the user is in none."""
        documents = scan(self.clients.store, Query(paths.MAINTENANCE, order_by="due_at", limit=PAGE))
        return self._remove([document.id for document in documents], departure)

    def _remove(self, groups: Sequence[str], departure: Departure) -> RemovalResult:
        devices: dict[str, None] = {}
        failures: list[Exception] = []
        for group_id in groups:
            try:
                result = self._once(functools.partial(self._remove_leaves, group_id, departure), departure, group_id)
            except (Broken, GroupError) as error:  # a damaged group delays no other group
                _log.error("a user could not be removed from a group: %s", group_id)
                failures.append(error)
                continue
            devices.update(dict.fromkeys(cast("Sequence[str]", result["devices"])))
        canceled_rotations: list[str] = []
        exposed_clients: list[str] = []
        for client_id in dict.fromkeys(client_id for group_id in groups for client_id in self._clients(group_id)):
            try:
                attempt = functools.partial(self._cancel_rotation, client_id, departure)
                result = self._once(attempt, departure, client_id)
            except Broken:  # what a damaged client's people received is unknown: assume the worst, as for others below
                _log.error("a client cannot be read: %s", client_id)
                result = {"canceled": [], "received": True}
            canceled_rotations.extend(cast("Sequence[str]", result["canceled"]))
            if result["received"]:
                exposed_clients.append(client_id)
        if failures:
            raise failures[0]
        return RemovalResult(list(devices), canceled_rotations, exposed_clients)

    def _once(self, attempt: functools.partial[Data], departure: Departure, subject: str) -> Data:
        parts = (attempt.func.__name__, departure.action, departure.user, subject)
        return until_won_once(attempt, self.clients.store, self.environment, departure.call, *parts)

    def _remove_leaves(self, group_id: str, departure: Departure, act: Act) -> Data:
        membership = open_membership(self.clients.store, self.groups, group_id)
        # A suspended user's absent devices stay absent: they may rejoin once the user is resumed.
        absent = membership.roster.absent if departure.for_good else ()
        leaving = [member for member in (*membership.roster.members, *absent) if departure.concerns(member)]
        for member in leaving:
            membership.remove_device(member, departure.action, OPERATOR, for_good=departure.for_good)
        answer: Data = {"devices": [member.npub for member in leaving]}
        if leaving:
            membership.extra_writes.append(act.mark(answer, membership.log.now))
            membership.commit(self.clients.store, self.clients.banner)
        return answer

    def _clients(self, group_id: str) -> Iterator[str]:
        query = Query(paths.clients_of_group(group_id), order_by="client_id", limit=PAGE)
        return (document.id for document in scan(self.clients.store, query))

    def _cancel_rotation(self, client_id: str, departure: Departure, act: Act) -> Data:
        """Cancel the client's active rotation if the user received it.

        Return the ids of the rotations that were canceled, and whether the user received a live secret.
        """
        reading = self.clients.read(client_id)
        state = lifecycle.settle(reading.state, reading.policy, reading.now).state
        answer: Data = {"canceled": [], "received": self._received_live_secret(reading, departure)}
        if state.rotation and _is_recipient(state.rotation, departure):
            # The operator acts for all the client's groups, since the removed user may have been the last admin.
            command = Cancel(
                actor=Person(OPERATOR, ""),
                groups=frozenset(state.client.admin_groups),
                people=reading.people,
                reason=departure.because,
                rotation_id=state.rotation.rotation_id,
            )
            try:
                decision = reading.decide(command)
            except Conflict as refusal:
                if refusal.reason != "promotion_imminent":
                    raise
                # The promotion cannot be stopped any more. So the secret counts as live, and the client is reported.
                promoted = replace(reading, state=reading.ahead)
                return {**answer, "received": self._received_live_secret(promoted, departure)}
            answer = {**answer, "canceled": [state.rotation.rotation_id]}
            self.clients.commit(reading, decision, also=[act.mark(answer, reading.now)])
        return answer

    def _received_live_secret(self, reading: ClientReading, departure: Departure) -> bool:
        state = lifecycle.settle(reading.state, reading.policy, reading.now).state
        # If a live version's rotation was deleted (records/retention.py), its recipients are unknown. Assume the worst.
        return any(rotation is None or _is_recipient(rotation, departure) for rotation in self._rotations(state))

    def _rotations(self, state: ClientState) -> list[Rotation | None]:
        # Imported versions were never sent to anyone.
        rotation_paths = [paths.rotation(version.rotation_id) for version in state.live if not is_imported(version)]
        documents = self.clients.store.get(rotation_paths).documents.values() if rotation_paths else ()
        return [next(iter(readable(Rotation, [document])), None) for document in documents]


def _is_recipient(rotation: Rotation, departure: Departure) -> bool:
    return any(departure.concerns(recipient) for recipient in rotation.recipients)
