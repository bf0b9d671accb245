"""Operate: what precedes admins. Clients and groups; each act is a command, and audited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Conflict, NotFound
from keyturn.domain.lifecycle import Decision
from keyturn.domain.model import Client, ClientKind, ClientState
from keyturn.domain.token_terms import DEFAULT_TERMS, TokenTerms
from keyturn.ports.store import Create, Query, put
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import Roster
from keyturn.records.salt import salt_writes
from keyturn.use_cases.audit_log import HEAD, system_writes
from keyturn.use_cases.groups.maintenance import MAINTENANCE_INTERVAL
from keyturn.use_cases.groups.message_log import GroupLog
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Databases, Document, Write
    from keyturn.use_cases.client_repository import Clients

PAGE = 100


@dataclass(frozen=True, slots=True)
class Operate:
    """The use cases behind `operator`."""

    databases: Databases
    clients: Clients
    groups: Groups
    environment: Environment

    def add_client(
        self,
        client_id: str,
        kind: ClientKind,
        groups: Sequence[str],
        policy: Mapping[str, int | bool],
        tokens: TokenTerms = DEFAULT_TERMS,
    ) -> None:
        """Add a client without a secret; its first rotation issues one. `NotFound` for a group that is not there."""
        made = (identifier(client_id), kind, tuple(groups), policy, tokens.checked())
        until_won(lambda: self._add_client(*made), self.environment)

    def _add_client(
        self,
        client_id: str,
        kind: ClientKind,
        groups: tuple[str, ...],
        policy: Mapping[str, int | bool],
        tokens: TokenTerms,
    ) -> None:
        path = paths.client(client_id)
        rosters = [paths.roster(identifier(group)) for group in groups]
        snapshot = self.databases.control.get([path, paths.SALT, *rosters])
        if snapshot[path].exists:
            raise Conflict("client_exists", "There is a client of that id.")
        if not groups or not all(snapshot[roster].exists for roster in rosters):
            raise NotFound("unknown_group", "There is no such group.")
        self.clients.policy.overridden(policy)
        client = Client(client_id, kind, groups, snapshot.read_time, policy=dict(policy), tokens=tokens)
        added = Transition("add_client", OPERATOR, {"client_id": client_id}, after={"status": client.status.value})
        listed: list[Write] = [
            Create(paths.client_of_group(group, client_id), {"client_id": client_id}) for group in groups
        ]
        listed += [write for group in groups for write in _beside(snapshot[paths.roster(group)], groups)]
        listed += salt_writes(snapshot, self.environment)
        self.clients.create(snapshot, Decision(ClientState(client), (added,)), also=listed)

    def list_clients(self, after: str | None) -> tuple[Sequence[Client], str | None]:
        """Return one page of clients in the order of their ids, and after which id the next page begins.

        `NotFound` when there is no client `after`.
        """
        query = Query(
            paths.CLIENTS, order_by="client_id", limit=PAGE, after=None if after is None else self._last(after)
        )
        found = [from_data(Client, item.data) for item in self.databases.control.query(query) if item.data]
        return found, found[-1].client_id if len(found) == PAGE else None

    def _last(self, client_id: str) -> Document:
        path = paths.client(identifier(client_id))
        last = self.databases.control.get([path])[path]
        if not last.exists:
            raise NotFound("unknown_client", "There is no such client.")
        return last

    def create_group(self, group_id: str) -> None:
        """Create a group whose only member is the service."""
        until_won(lambda: self._create_group(identifier(group_id)), self.environment)

    def _create_group(self, group_id: str) -> None:
        snapshot = self.databases.control.get([HEAD, paths.group(group_id), paths.roster(group_id)])
        if snapshot[paths.group(group_id)].exists:
            raise Conflict("group_exists", "There is a group of that id.")
        now = snapshot.read_time
        log = GroupLog.create(self.groups, snapshot[paths.group(group_id)], now)
        created = Transition("create_group", OPERATOR, {"group_id": group_id}, after={"epoch": log.session.epoch})
        self.databases.control.commit(
            [
                *log.writes(),
                Create(paths.roster(group_id), to_data(Roster(group_id))),
                Create(paths.maintenance(group_id), {"group_id": group_id, "due_at": now + MAINTENANCE_INTERVAL}),
                *system_writes(snapshot, [created], now, self.clients.banner),
            ]
        )


def _beside(document: Document, groups: Sequence[str]) -> Iterator[Write]:
    """Yield the write that has a group know those that administer a client together with it, if it does not yet."""
    roster = from_data(Roster, cast("Data", document.data))
    known = {*roster.beside, *groups} - {roster.group_id}
    if known != set(roster.beside):
        yield put(document, to_data(replace(roster, beside=tuple(sorted(known)))))
