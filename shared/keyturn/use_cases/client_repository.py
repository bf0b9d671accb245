"""Clients in the store: read everything that a decision rests on, write everything that it changed, in one commit.

Rules:

1. A reading is two reads: the client says which documents belong to it, then all of them are read at one instant. A
   client that changed in between is read again.
2. Everything that was read is written or checked in the commit, so that no decision rests on something that moved.
3. Versions and rotations change only in commits that write their client. So what the client's document tells of them
   need not be read to be decided on (ADR 0011), and what was not read is amended: the commit rests on the client.
4. `live`, `next_due_at`, `due_shard`, `revision` and the audit entries follow from the decision, here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from keyturn.domain import audit_chain as audit
from keyturn.domain.errors import Broken, NotFound
from keyturn.domain.model import Client, ClientState, Rotation, Version, VersionState
from keyturn.ports.store import Amend, Check, Create, LostRace, Snapshot, put
from keyturn.records import paths
from keyturn.records.client_document import CHANGED_AT, client_data, embedded_state, live_state
from keyturn.records.codec import from_data
from keyturn.records.retention import rotation_document, version_document
from keyturn.records.roster import Roster, people, read_rosters, user_of
from keyturn.use_cases.audit_log import entry_writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.policy import Policy
    from keyturn.ports.store import Data, Document, Store, Write


RETIRED_KEPT = 5
"""How many versions a client's document names after they were retired."""


@dataclass(frozen=True, slots=True)
class ClientReading:
    """One client and all that a decision on it rests on, as they were together at `now`."""

    snapshot: Snapshot
    state: ClientState
    policy: Policy
    rosters: Mapping[str, Roster]

    @property
    def now(self) -> datetime:
        """The store's read time: the decision's now."""
        return self.snapshot.read_time

    @property
    def people(self) -> frozenset[str]:
        """The users of all groups that are authorised for the client."""
        return people(self.rosters.values())

    def user(self, npub: str) -> str | None:
        """Return who is behind a key, in any group that is authorised for the client."""
        return user_of(self.rosters.values(), npub)

    def seated(self, npub: str, group: str) -> str | None:
        """Return who is behind a key in that very group, if it is authorised for the client."""
        return user_of([self.rosters[group]] if group in self.rosters else (), npub)

    def groups_of(self, npub: str) -> frozenset[str]:
        """Return the groups authorised for the client in which that key has a leaf."""
        return frozenset(name for name, roster in self.rosters.items() if roster.member(npub))


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of one deployment: its default policy, and its stage's banner for every audit entry."""

    store: Store
    policy: Policy
    banner: str = ""

    def read(
        self,
        client_id: str,
        also: Iterable[str] = (),
        belonging: Callable[[Data], Iterable[str]] = lambda _client: (),
        found: Document | None = None,
    ) -> ClientReading:
        """Read a client, the paths `also`, and what `belonging` derives from the client; `NotFound` without one.

        `found` is the client's document where a query gave it just now: then one read is enough. `LostRace` when the
        client changed between the two reads.
        """
        first = {found.path: found} if found else self.store.get([paths.client(client_id)]).documents
        readings = self._read_on(first, also, belonging)
        if not readings:
            raise NotFound("unknown_client", "There is no such client.")
        return readings[0]

    def read_at_once(
        self,
        client_id: str,
        also: Iterable[str] = (),
        belonging: Callable[[Data], Iterable[str]] = lambda _client: (),
        groups: Iterable[str] = (),
    ) -> ClientReading:
        """Read the same in one read where `groups` hold all that are authorised for the client, and else as `read`.

        What the client's document tells by itself is not read (rule 3).
        """
        path, also = paths.client(client_id), [*also]
        snapshot = self.store.get(dict.fromkeys([path, *also, *map(paths.roster, groups)]))
        data = snapshot[path].data or {}
        told = _told(data)
        rosters = [paths.roster(group) for group in told.client.admin_groups] if told else []
        needed = dict.fromkeys([path, *also, *(belonging(data) if told else ()), *rosters])
        if told is None or not needed.keys() <= snapshot.documents.keys():
            return self.read(client_id, also, belonging, found=snapshot[path])
        kept = Snapshot({name: snapshot[name] for name in needed}, snapshot.read_time)
        policy = self.policy.overridden(told.client.policy)
        return ClientReading(kept, _with_people(told, kept), policy, read_rosters(kept, told.client.admin_groups))

    def read_alone(self, client_id: str, also: Iterable[str] = ()) -> ClientReading:
        """Read the same in one read, for what rests on nobody's membership: there are no rosters in the reading."""
        path, also = paths.client(client_id), [*also]
        snapshot = self.store.get([path, *also])
        told = _told(snapshot[path].data or {})
        if told is None:
            return self.read(client_id, also, found=snapshot[path])
        return ClientReading(snapshot, _with_people(told, snapshot), self.policy.overridden(told.client.policy), {})

    def read_together(
        self,
        client_ids: Iterable[str],
        also: Iterable[str] = (),
        belonging: Callable[[Data], Iterable[str]] = lambda _client: (),
    ) -> list[ClientReading]:
        """Read those of several clients that there are, as they were together at one instant; else as `read`."""
        return self._read_on(self.store.get(map(paths.client, client_ids)).documents, also, belonging)

    def _read_on(
        self, first: Mapping[str, Document], also: Iterable[str], belonging: Callable[[Data], Iterable[str]]
    ) -> list[ClientReading]:
        clients = {path: item.data for path, item in first.items() if item.data}
        named = {path: _named(data) for path, data in clients.items()}
        wanted = [path for data in clients.values() for path in belonging(data)]
        snapshot = self.store.get(dict.fromkeys([*clients, *also, *wanted, *chain.from_iterable(named.values())]))
        if any(snapshot[path].version != first[path].version for path in clients):
            raise LostRace("a client changed between two reads")
        return [self._reading(snapshot, from_data(Client, data), named[path]) for path, data in clients.items()]

    def _reading(self, snapshot: Snapshot, client: Client, named: Iterable[str]) -> ClientReading:
        documents = {path: _present(snapshot[path]) for path in named if not path.startswith(paths.GROUPS)}
        versions = [from_data(Version, data) for data in documents.values() if "version_id" in data]
        rotations = [from_data(Rotation, data) for data in documents.values() if "new_version" in data]
        state = ClientState(
            client,
            {version.version_id: version for version in versions},
            {rotation.rotation_id: rotation for rotation in rotations},
        )
        rosters = read_rosters(snapshot, client.admin_groups)
        return ClientReading(snapshot, state, self.policy.overridden(client.policy), rosters)

    def commit(self, reading: ClientReading, decision: Decision, also: Sequence[Write] = ()) -> None:
        """Write what a decision changed, `also`, and the audit, all or nothing; `LostRace` if anything moved."""
        self.commit_together([(reading, decision)], also)

    def commit_together(self, decided: Sequence[tuple[ClientReading, Decision]], also: Sequence[Write] = ()) -> None:
        """Write several decisions that rest on one snapshot, all or nothing; else as `commit`."""
        changes = [write for reading, decision in decided for write in self._writes(reading, decision)]
        changes.extend(also)
        self.store.commit([*changes, *_checks(decided[0][0].snapshot, changes)])

    def create(self, snapshot: Snapshot, decision: Decision, also: Sequence[Write] = ()) -> None:
        """Write a new client with its first audit entries, resting on what was read; `LostRace` if that moved."""
        policy = self.policy.overridden(decision.state.client.policy)
        self.commit(ClientReading(snapshot, decision.state, policy, {}), decision, also)

    def _writes(self, reading: ClientReading, decision: Decision) -> list[Write]:
        client = reading.state.client
        entries = audit.chained(client.audit_head, decision.transitions, reading.now, banner=self.banner)
        written = replace(
            decision.state.client,
            audit_head=entries[-1].head if entries else client.audit_head,
            revision=client.revision + 1,
            updated_at=reading.now,
            recently_retired=_recently_retired(reading.state, decision.state),
        )
        state = replace(decision.state, client=written)
        return [*_changes(reading, state), *entry_writes(client.client_id, entries)]


def _recently_retired(before: ClientState, after: ClientState) -> tuple[str, ...]:
    """Return the last versions that had a secret and have it no more, the newly retired ones at the end."""
    gone = (item for item in after.versions.values() if item.state is VersionState.RETIRED and item.receipt_key)
    new = [item.version_id for item in gone if item.version_id not in before.client.recently_retired]
    return (*before.client.recently_retired, *new)[-RETIRED_KEPT:]


def _named(data: Data) -> list[str]:
    client = from_data(Client, data)
    rotations = [name for name in (client.active_rotation, client.last_rotation) if name]
    versions = [paths.version(client.client_id, name) for name in live_state(data).versions]
    return [*versions, *map(paths.rotation, rotations), *map(paths.roster, client.admin_groups)]


def _present(document: Document) -> Data:
    if document.data is None:
        raise Broken("a client names a document that is not there")
    return document.data


def _changes(reading: ClientReading, state: ClientState) -> list[Write]:
    client_id = state.client.client_id
    before, after = (_documents(known, reading.now) for known in (reading.state, state))
    changed = {path: data for path, data in after.items() if before.get(path) != data}
    client = put(reading.snapshot[paths.client(client_id)], client_data(state, reading.policy), CHANGED_AT)
    return [client, *(_written(reading.snapshot, path, before.get(path), data) for path, data in changed.items())]


def _documents(state: ClientState, now: datetime) -> dict[str, Data]:
    """Return the documents of a state's versions and rotations by their paths, as they would be written now."""
    client_id = state.client.client_id
    versions = {paths.version(client_id, name): version_document(item, now) for name, item in state.versions.items()}
    rotations = {paths.rotation(name): rotation_document(item, state, now) for name, item in state.rotations.items()}
    return {**versions, **rotations}


def _written(snapshot: Snapshot, path: str, before: Data | None, after: Data) -> Write:
    if path in snapshot.documents:
        return put(snapshot[path], after)
    if before is None:
        return Create(path, after)
    return Amend(path, {name: value for name, value in after.items() if before[name] != value})


def _told(data: Data) -> ClientState | None:
    return embedded_state(data) if data else None


def _with_people(told: ClientState, snapshot: Snapshot) -> ClientState:
    """Return the state with those of its rotations whole that were read for themselves."""
    for rotation_id in told.rotations:
        document = snapshot.documents.get(paths.rotation(rotation_id))
        if document is not None and document.data is not None:
            told = told.with_rotation(from_data(Rotation, document.data))
    return told


def _checks(snapshot: Snapshot, changes: Sequence[Write]) -> list[Write]:
    changed = {write.path for write in changes}
    return [Check(path, item.version) for path, item in snapshot.documents.items() if path not in changed]
