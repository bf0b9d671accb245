"""Clients in the store: read everything that a decision rests on, and write everything that it changed in one commit.

Rules:

1. In general, reading a client takes two reads: its document says which other documents belong to it, then all of them
   are read at one instant. If the client changed in between, the read is repeated.
2. Every document that was read is written or checked in the commit, so no decision rests on a document that changed.
3. Versions and rotations change only in commits that also write their client. So what the client's document embeds of
   them need not be read separately (ADR 0011), and a document that was not read is amended: the client's version
   protects it as well.
4. `live`, `next_due_at`, `due_shard`, `revision` and the audit entries are derived from the decision, and only here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from keyturn.domain import audit_chain as audit
from keyturn.domain import lifecycle
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Broken, InvalidRequest, NotFound
from keyturn.domain.model import Client, ClientState, Rotation, Version, VersionState
from keyturn.ports.store import Amend, Check, Create, LostRace, put
from keyturn.records import paths
from keyturn.records.client_document import (
    CHANGED_AT,
    client_data,
    embedded_state,
    is_stand_in,
    live_state,
    read_client,
    read_part,
    with_stand_ins,
)
from keyturn.records.retention import rotation_document, version_document
from keyturn.records.roster import Roster, people, read_rosters, user_of
from keyturn.use_cases.audit_log import entry_writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from keyturn.domain.commands import Command
    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.policy import Policy
    from keyturn.ports.store import Data, Document, Snapshot, Store, Write


_log = logging.getLogger("keyturn")

_T = TypeVar("_T", Version, Rotation)

_WRITTEN_BY = frozenset({"audit_head", "revision"})
"""The fields that each write of a client continues: damage there would fork its history."""
RETIRED_KEPT = 5
"""How many retired versions a client's document lists."""


def _no_paths(_client: Data) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What to read together with a client, and what the caller already knows about it.

    With `expected_groups`, one read is enough if they include all groups that are authorised for the client: versions
    and rotations are then taken from the client's document (rule 3). Otherwise two reads follow. The same holds without
    rosters, for a decision that rests on no membership.
    """

    also: Sequence[str] = ()
    """Paths of further documents."""
    derived: Callable[[Data], Iterable[str]] = _no_paths
    """Paths of further documents that follow from the client's document."""
    expected_groups: Sequence[str] | None = None
    rosters: bool = True
    document: Document | None = None
    """The client's document, if a query has just returned it: it saves the first of the two reads."""

    @property
    def one_read(self) -> bool:
        """Whether to try with one read."""
        return self.expected_groups is not None or not self.rosters


READ_ALL = ReadPlan()
"""The client with its versions, rotations and rosters."""
CLIENT_ONLY = ReadPlan(rosters=False)
"""The client without rosters, for the operator's commands."""


@dataclass(frozen=True, slots=True)
class ClientReading:
    """One client and everything that a decision on it rests on, as it was at `now`."""

    snapshot: Snapshot
    state: ClientState
    policy: Policy
    rosters: Mapping[str, Roster]
    longest_commit: timedelta
    """How long after `now` a decision on this reading may take effect: a property of the store."""

    def decide(self, *commands: Command) -> Decision:
        """Return one decision on these commands, in their order. Raises the `Refusal` of the first one refused."""
        return lifecycle.decide_all(self.state, commands, self.policy, self.now, self.longest_commit)

    @property
    def ahead(self) -> ClientState:
        """What time alone makes of the state until every verifier is sure to know of a decision on this reading."""
        margin_end = self.now + self.policy.rollback_margin(self.longest_commit)
        return lifecycle.ahead(self.state, self.policy, margin_end)

    @property
    def now(self) -> datetime:
        """The store's read time: the decision's now."""
        return self.snapshot.read_time

    @property
    def people(self) -> frozenset[str]:
        """The users of all groups that are authorised for the client."""
        return people(self.rosters.values())

    def user(self, npub: str) -> str | None:
        """Return the user with that key in any group that is authorised for the client."""
        return user_of(self.rosters.values(), npub)

    def user_in(self, npub: str, group: str) -> str | None:
        """Return the user with that key in exactly that group, if it is authorised for the client."""
        return user_of([self.rosters[group]] if group in self.rosters else (), npub)

    def groups_of(self, npub: str) -> frozenset[str]:
        """Return the groups authorised for the client in which that key has a leaf."""
        return frozenset(name for name, roster in self.rosters.items() if roster.member(npub))

    def without(self, paths_read: Iterable[str]) -> ClientReading:
        """Return this reading without some documents: a commit does not rest on them."""
        excluded = set(paths_read)
        documents = {path: item for path, item in self.snapshot.documents.items() if path not in excluded}
        return replace(self, snapshot=replace(self.snapshot, documents=documents))


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of one deployment: its default policy, and its stage's banner for every audit entry."""

    store: Store
    policy: Policy
    banner: str = ""

    def read(self, client_id: str, plan: ReadPlan = READ_ALL) -> ClientReading:
        """Read a client by a plan. Raises `NotFound` without such a client, `LostRace` if it changed between reads."""
        path = paths.client(client_id)
        document = plan.document
        if plan.one_read:
            snapshot = self._read_expected(path, plan)
            if (reading := self._complete(path, plan, snapshot)) is not None:
                return reading
            document = snapshot[path]
        first = {path: document} if document else self.store.get([path]).documents
        readings = self._read_on(first, plan)
        if not readings:
            raise NotFound("unknown_client", "There is no such client.")
        return readings[0]

    def read_together(self, client_ids: Iterable[str], plan: ReadPlan = READ_ALL) -> list[ClientReading]:
        """Read several clients at one instant, with two reads in all.

        Clients that do not exist are left out, and those that cannot be read.
        """
        first = self.store.get(map(paths.client, client_ids)).documents
        return self._read_on({path: item for path, item in first.items() if _is_readable(item, plan)}, plan)

    def cursor(self, client_id: str | None) -> Document | None:
        """Return the document after which a page of clients begins, or None for the first page.

        Raises `NotFound` without such a client.
        """
        if client_id is None:
            return None
        path = paths.client(identifier(client_id))
        document = self.store.get([path])[path]
        if not document.exists:
            raise NotFound("unknown_client", "There is no such client.")
        return document

    def _read_expected(self, path: str, plan: ReadPlan) -> Snapshot:
        rosters = map(paths.roster, plan.expected_groups or ())
        return self.store.get(dict.fromkeys([path, *plan.also, *rosters]))

    def _complete(self, path: str, plan: ReadPlan, snapshot: Snapshot) -> ClientReading | None:
        """Return the reading if the snapshot has everything that it needs, and no more; else None."""
        data = snapshot[path].data
        state = embedded_state(data) if data else None
        if data is None or state is None or state.client.client_id != snapshot[path].id:
            return None
        groups = state.client.admin_groups if plan.rosters else ()
        needed = dict.fromkeys([path, *plan.also, *plan.derived(data), *map(paths.roster, groups)])
        if not needed.keys() <= snapshot.documents.keys():
            return None
        # An expected group that is not the client's must not decide whether the commit goes through.
        needed_snapshot = replace(snapshot, documents={name: snapshot[name] for name in needed})
        state = _with_read_rotations(state, needed_snapshot)
        return self._as_reading(needed_snapshot, state, read_rosters(needed_snapshot, groups))

    def _read_on(self, first: Mapping[str, Document], plan: ReadPlan) -> list[ClientReading]:
        """Return the readings of those clients that exist, from the second of two reads."""
        clients = {path: _changeable(item) for path, item in first.items() if item.data}
        wished = [path for item in first.values() if item.data for path in _own_paths(item.data, plan)]
        snapshot = self.store.get(dict.fromkeys([*clients, *plan.also, *wished]))
        # The second read may be of a later instant, at which other documents belong to the client.
        if any(snapshot[path].version != first[path].version for path in clients):
            raise LostRace("a client changed between two reads")
        return [self._reading(snapshot, client, plan) for client in clients.values()]

    def _reading(self, snapshot: Snapshot, client: Client, plan: ReadPlan) -> ClientReading:
        versions, rotations = _own_ids(snapshot[paths.client(client.client_id)].fields)
        state = with_stand_ins(
            ClientState(
                client,
                {name: _part(snapshot, Version, paths.version(client.client_id, name)) for name in versions},
                {name: _part(snapshot, Rotation, paths.rotation(name)) for name in rotations},
            )
        )
        groups = client.admin_groups if plan.rosters else ()
        return self._as_reading(snapshot, state, read_rosters(snapshot, groups))

    def _as_reading(self, snapshot: Snapshot, state: ClientState, rosters: Mapping[str, Roster]) -> ClientReading:
        policy = self.policy.for_client(state.client.policy)
        return ClientReading(snapshot, state, policy, rosters, self.store.longest_commit)

    def commit(self, reading: ClientReading, decision: Decision, also: Sequence[Write] = ()) -> None:
        """Write a decision's changes, its audit entries and `also`, all or nothing.

        Raises `LostRace` if a document that was read has changed, or if the decision would take effect too late.
        """
        self.commit_together([(reading, decision)], also)

    def commit_together(self, decisions: Sequence[tuple[ClientReading, Decision]], also: Sequence[Write] = ()) -> None:
        """Write several decisions that rest on one snapshot, all or nothing; otherwise as `commit`."""
        changes = [write for reading, decision in decisions for write in self._writes(reading, decision)]
        changes.extend(also)
        # All readings are parts of one snapshot, so each of its documents is checked once.
        snapshot = decisions[0][0].snapshot
        timely = any(decision.timely for _, decision in decisions)
        self.store.commit([*changes, *_checks(snapshot, changes)], basis=snapshot if timely else None)

    def create(self, snapshot: Snapshot, decision: Decision, also: Sequence[Write] = ()) -> None:
        """Write a new client with its first audit entries. Raises `LostRace` if anything in the snapshot changed."""
        self.commit(self._as_reading(snapshot, decision.state, {}), decision, also)

    def _writes(self, reading: ClientReading, decision: Decision) -> list[Write]:
        client = reading.state.client
        entries = audit.chained(client.audit_head, decision.transitions, reading.now, banner=self.banner)
        updated = replace(
            decision.state.client,
            audit_head=replace(client.audit_head, seq=entries[-1].seq, hash=entries[-1].hash)
            if entries
            else client.audit_head,
            # It only rises: verifiers bind cached verdicts to it.
            revision=client.revision + 1,
            updated_at=reading.now,
            recently_retired=_recently_retired(reading.state, decision.state),
        )
        state = replace(decision.state, client=updated)
        return [*_changes(reading, state), *entry_writes(client.client_id, entries)]


def _recently_retired(before: ClientState, after: ClientState) -> tuple[str, ...]:
    """Return the ids of the last retired versions that were distributed, the newest at the end."""
    retired_versions = (
        item for item in after.versions.values() if item.state is VersionState.RETIRED and item.receipt_key
    )
    new = [item.version_id for item in retired_versions if item.version_id not in before.client.recently_retired]
    return (*before.client.recently_retired, *new)[-RETIRED_KEPT:]


def _own_ids(data: Data) -> tuple[list[str], list[str]]:
    """Return the ids of a client's versions and rotations that belong to its state."""
    state, client = live_state(data), read_client(data)
    rotations = (client.active_rotation, client.last_rotation)
    return [name for name in state.versions if _is_id(name)], [name for name in rotations if name and _is_id(name)]


def _own_paths(data: Data, plan: ReadPlan) -> list[str]:
    """Return the paths of a client's versions, rotations and rosters, and of what else the plan derives from it."""
    client, (versions, rotations) = read_client(data), _own_ids(data)
    version_paths = [paths.version(client.client_id, name) for name in versions]
    groups = client.admin_groups if plan.rosters else ()
    return [*version_paths, *map(paths.rotation, rotations), *map(paths.roster, groups), *plan.derived(data)]


def _is_id(text: str) -> bool:
    # A damaged id must not lead to another document, nor to a path that the store refuses.
    try:
        return identifier(text) == text
    except InvalidRequest:
        return False


def _part(snapshot: Snapshot, kind: type[_T], path: str) -> _T:
    return read_part(kind, snapshot[path].data, snapshot[path].id)


def _changeable(document: Document) -> Client:
    """Return the client that its document holds. Raise `Broken` if no command can write it (docs/upgrade.md)."""
    client = read_client(document.fields)
    if client.damaged & _WRITTEN_BY or client.client_id != document.id:
        raise Broken("a client's document cannot be continued")
    return client


def _is_readable(document: Document, plan: ReadPlan) -> bool:
    """Return whether a client can be read with others. One that cannot is logged, with its id only."""
    try:
        if document.data is not None:
            _changeable(document)
            _own_paths(document.data, plan)  # it follows fields that may be damaged
    except Broken:
        _log.warning("a client cannot be read: %s", document.id)
        return False
    return True


def _changes(reading: ClientReading, state: ClientState) -> list[Write]:
    """Return the writes of the client, and of every version and rotation that has changed since the read."""
    # Compared as documents: a change of a derived field, like the date of deletion, has to be written as well.
    before, after = (_documents(item, reading.now) for item in (reading.state, state))
    changes = {path: data for path, data in after.items() if before.get(path) != data}
    path = paths.client(state.client.client_id)
    client = put(reading.snapshot[path], client_data(state, reading.policy), CHANGED_AT)
    return [client, *(_write(reading.snapshot, path, before.get(path), data) for path, data in changes.items())]


def _documents(state: ClientState, now: datetime) -> dict[str, Data]:
    """Return the documents of a state's versions and rotations by path, as they would be written now."""
    client_id = state.client.client_id
    versions = {
        paths.version(client_id, name): version_document(item, now)
        for name, item in state.versions.items()
        if not is_stand_in(item)
    }
    rotations = {
        paths.rotation(name): rotation_document(item, state, now)
        for name, item in state.rotations.items()
        if not is_stand_in(item)
    }
    return {**versions, **rotations}


def _write(snapshot: Snapshot, path: str, before: Data | None, after: Data) -> Write:
    if path in snapshot.documents:
        return put(snapshot[path], after)
    if before is None:
        return Create(path, after)
    # Known from the client's document only, so its other fields (recipients, acks) are not known: amend (rule 3).
    return Amend(path, {name: value for name, value in after.items() if name not in before or before[name] != value})


def _with_read_rotations(state: ClientState, snapshot: Snapshot) -> ClientState:
    """Return the state with complete rotations in place of the embedded ones, where their documents were read."""
    for rotation_id in state.rotations:
        document = snapshot.documents.get(paths.rotation(rotation_id))
        if document is not None and document.data is not None:
            state = state.with_rotation(read_part(Rotation, document.data, rotation_id))
    return state


def _checks(snapshot: Snapshot, changes: Sequence[Write]) -> list[Write]:
    written_paths = {write.path for write in changes}
    return [Check(path, item.version) for path, item in snapshot.documents.items() if path not in written_paths]
