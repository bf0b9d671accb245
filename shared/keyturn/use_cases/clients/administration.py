"""Administration by the operator: add clients and groups. Each act is audited in its commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.client_groups import checked_groups
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Conflict, NotFound
from keyturn.domain.lifecycle import Decision
from keyturn.domain.model import Client, ClientKind, ClientState
from keyturn.domain.token_terms import DEFAULT_TERMS, TokenTerms
from keyturn.ports.store import Create, Query, put
from keyturn.records import paths
from keyturn.records.codec import from_data, salvage, to_data
from keyturn.records.roster import Roster
from keyturn.records.salt import salt_writes
from keyturn.use_cases.audit_log import audit_heads, audit_writes
from keyturn.use_cases.groups.maintenance import MAINTENANCE_INTERVAL
from keyturn.use_cases.groups.message_log import GroupLog
from keyturn.use_cases.optimistic import UNNAMED, Call, until_won_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.store import Data, Databases, Document, Write
    from keyturn.use_cases.client_repository import Clients
    from keyturn.use_cases.optimistic import Act

PAGE = 100


@dataclass(frozen=True, slots=True)
class Administration:
    """The use cases behind `operator` for clients and groups."""

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
        call: Call = UNNAMED,
    ) -> None:
        """Add a client without a secret; its first rotation issues one. Raises `NotFound` for an unknown group.

        Raises `InvalidRequest` for no group, for a repeated one, and for more than MOST_GROUPS.
        """
        arguments = (identifier(client_id), kind, checked_groups(groups), policy, tokens.checked())
        store, environment = self.databases.control, self.environment
        until_won_once(lambda act: self._add_client(act, *arguments), store, environment, call, "client", client_id)

    def _add_client(
        self,
        act: Act,
        client_id: str,
        kind: ClientKind,
        groups: tuple[str, ...],
        policy: Mapping[str, int | bool],
        tokens: TokenTerms,
    ) -> Data:
        path = paths.client(client_id)
        rosters = [paths.roster(group) for group in groups]
        snapshot = self.databases.control.get([path, paths.SALT, *rosters])
        if snapshot[path].exists:
            raise Conflict("client_exists", "A client with that id already exists.")
        if not all(snapshot[roster].exists for roster in rosters):
            raise NotFound("unknown_group", "There is no such group.")
        self.clients.policy.overridden(policy)  # refuses invalid values; the client stores only its own
        client = Client(client_id, kind, groups, snapshot.read_time, policy=dict(policy), tokens=tokens)
        transition = Transition("add_client", OPERATOR, {"client_id": client_id}, after={"status": client.status.value})
        # The index of a group's clients: removing a member has to find all clients of the member's groups.
        writes: list[Write] = [
            Create(paths.client_of_group(group, client_id), {"client_id": client_id}) for group in groups
        ]
        writes += [write for group in groups for write in _note_groups(snapshot[paths.roster(group)], groups)]
        writes += [*salt_writes(snapshot, self.environment), act.mark({}, snapshot.read_time)]
        self.clients.create(snapshot, Decision(ClientState(client), (transition,)), also=writes)
        return {}

    def list_clients(self, after: str | None) -> tuple[Sequence[Client], str | None]:
        """Return one page of clients by id, and the id after which the next page begins (None after the last page).

        Raises `NotFound` if there is no client `after`.
        """
        query = Query(paths.CLIENTS, order_by="client_id", limit=PAGE, after=self.clients.cursor(after))
        documents = self.databases.control.query(query)
        # A damaged client is listed with what can be read of it.
        clients = [replace(salvage(Client, item.fields), client_id=item.id) for item in documents]
        return clients, clients[-1].client_id if len(clients) == PAGE else None

    def create_group(self, group_id: str, call: Call = UNNAMED) -> None:
        """Create a group with the service as its only member."""
        name = identifier(group_id)
        store, environment = self.databases.control, self.environment
        until_won_once(lambda act: self._create_group(act, name), store, environment, call, "group", name)

    def _create_group(self, act: Act, group_id: str) -> Data:
        snapshot = self.databases.control.get([*audit_heads(group_id), paths.group(group_id), paths.roster(group_id)])
        if snapshot[paths.group(group_id)].exists:
            raise Conflict("group_exists", "A group with that id already exists.")
        now = snapshot.read_time
        log = GroupLog.create(self.groups, snapshot[paths.group(group_id)], now)
        transition = Transition("create_group", OPERATOR, {"group_id": group_id}, after={"epoch": log.session.epoch})
        self.databases.control.commit(
            [
                *log.writes(),
                Create(paths.roster(group_id), to_data(Roster(group_id))),
                Create(paths.maintenance(group_id), {"group_id": group_id, "due_at": now + MAINTENANCE_INTERVAL}),
                *audit_writes(snapshot, [transition], now, self.clients.banner),
                act.mark({}, now),
            ]
        )
        return {}


def _note_groups(document: Document, groups: Sequence[str]) -> Iterator[Write]:
    """Yield the write that adds the client's other groups to a group's roster, if they are not in it.

    With them, a command that arrives through one group can be read with one read (`ReadPlan.expected_groups`).
    """
    roster = from_data(Roster, document.fields)
    noted = roster.with_beside(groups)
    if noted != roster:
        yield put(document, to_data(noted))
