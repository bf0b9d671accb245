"""Check every invariant of docs/protocol.md over one deployment, by reading only, and name each breach.

Rules:

1. Documents that change together are checked together: those of a client, of a group, of the directory of admins and
   of an audit chain. They are read between two reads of the one document that each such change writes. If it changed
   in between, they are read again, since the store may be in use. Documents that change all the time are reported as
   unstable, which is no breach.
2. All reads use declared indexes, a page at a time. One client, or one group, is in memory at a time.
3. Each document is checked twice: its fields against its kind (`records.schema`), and its content against the other
   documents.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from keyturn.domain import audit_chain as audit
from keyturn.domain.errors import Broken, Refusal
from keyturn.ports.keys import KeyRefused
from keyturn.ports.store import Query, scan
from keyturn.records import paths
from keyturn.records.schema import kind_of
from keyturn.use_cases.doctor.admin_checks import admin_findings, read_admin_documents
from keyturn.use_cases.doctor.audit_checks import chain_findings, group_chain_findings
from keyturn.use_cases.doctor.audit_history import AuditHistory
from keyturn.use_cases.doctor.client_checks import ClientDocuments, client_findings
from keyturn.use_cases.doctor.findings import Breach, CheckFinding
from keyturn.use_cases.doctor.group_checks import GroupChecks, GroupDocuments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from keyturn.domain.policy import Policy
    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.keys import MacKey
    from keyturn.ports.message_headers import ReadHead
    from keyturn.ports.store import Data, Databases, Document, Store

_T = TypeVar("_T")

ATTEMPTS = 20
"""So often documents are read again before they are reported as unstable."""
PAUSE_SECONDS = 0.05
_DAMAGE = (Broken, Refusal, LookupError, TypeError, ValueError, AttributeError)
"""The errors of a rule over a value of a type that our code never writes."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The breaches, the number of checked documents by kind, the unstable subjects and the paths of all documents."""

    breaches: tuple[Breach, ...]
    counts: Mapping[str, int]
    unstable: tuple[str, ...]
    checked_paths: frozenset[str] = field(repr=False)


@dataclass(slots=True)
class _Notes:
    """The results so far."""

    breaches: list[Breach] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unstable: list[str] = field(default_factory=list)
    checked_paths: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    """Paths of the groups that clients name."""

    def add(self, subject: str, documents: Iterable[Document], findings: Iterable[CheckFinding]) -> None:
        for document in documents:
            kind = kind_of(document.path)
            self.checked_paths.add(document.path)
            self.counts[kind.noun if kind else "documents of no kind"] += 1
            for problem in kind.shape.problems(document.fields) if kind else ():
                self.breaches.append(Breach(subject, f"a document {problem}", document.path))
        self.breaches += [Breach(subject, finding.sentence, finding.where) for finding in _despite_damage(findings)]


def _despite_damage(findings: Iterable[CheckFinding]) -> Iterator[CheckFinding]:
    """Yield findings, and one more if a damaged document makes a rule fail: the doctor has to go on with the rest."""
    try:
        yield from findings
    except _DAMAGE:
        yield CheckFinding("a document is too damaged to check every rule")


@dataclass(frozen=True, slots=True)
class RunChecks:
    """The use case behind `keyturn doctor`."""

    databases: Databases
    policy: Policy
    groups: Groups
    mac_key: MacKey
    read_head: ReadHead
    environment: Environment

    def __call__(self) -> CheckResult:
        """Check everything once. Raise `StoreUnavailable` or `KeyUnavailable` if that is impossible."""
        notes = _Notes()
        history = AuditHistory().continued(self._control)
        npub = self._check_service(notes, history)
        recreated_at = history.recreated_at()
        for client in scan(self._control, Query(paths.CLIENTS, order_by="client_id")):
            self._check_client(notes, client.path, recreated_at)
        # Groups that were created since count as well: a client may name them.
        history = history.continued(self._control)
        checks = GroupChecks(self.groups, self.read_head, npub)
        groups = sorted({*map(paths.group, history.created_groups()), *notes.groups})
        joins = {path: self._check_group(notes, path, checks) for path in groups}
        self._check_chains(notes, history, joins)
        self._check_admins(notes)
        self._check_others(notes)
        return CheckResult(
            tuple(notes.breaches), dict(notes.counts), tuple(notes.unstable), frozenset(notes.checked_paths)
        )

    @property
    def _control(self) -> Store:
        return self.databases.control

    def _read_stable(self, path: str, read: Callable[[Document], _T], store: Store | None = None) -> _T | None:
        """Return what `read` reads while the document at `path` does not change, or None if it always does (rule 1)."""
        store = store or self._control
        for _ in range(ATTEMPTS):
            document = store.get([path])[path]
            result = read(document)
            if store.get([path])[path].version == document.version:
                return result
            self.environment.sleep(PAUSE_SECONDS)
        return None

    def _all(self, query: Query) -> Sequence[Document]:
        return tuple(scan(self._control, query))

    # --- the service -------------------------------------------------------------------------------------------------

    def _check_service(self, notes: _Notes, history: AuditHistory) -> str:
        """Check the service's identity. Return the stored npub, or an empty text if there is none."""
        document = self._control.get([paths.SERVICE])[paths.SERVICE]
        if document.data is not None:
            notes.add("service", [document], self._identity_findings(document.data))
            return str(document.data.get("npub", ""))
        if history.created_groups():
            notes.add("service", [], [CheckFinding("groups exist without a service identity", paths.SERVICE)])
        return ""

    def _identity_findings(self, data: Data) -> Iterator[CheckFinding]:
        try:
            matches = self.groups.npub == data["npub"]
        except (KeyRefused, ValueError):
            yield CheckFinding("the service's identity does not unseal", paths.SERVICE)
            return
        if not matches:
            yield CheckFinding("the service's identity differs from its document", paths.SERVICE)

    # --- clients -----------------------------------------------------------------------------------------------------

    def _check_client(self, notes: _Notes, path: str, recreated_at: Mapping[str, int]) -> None:
        documents = self._read_stable(path, lambda client: self._client_documents(client, recreated_at))
        if documents is None:
            notes.unstable.append(f"client {path.rpartition('/')[2]}")
            return
        client = documents.client
        notes.add(f"client {client.id}", documents.own, client_findings(documents, self.policy, self.mac_key))
        groups = client.fields.get("admin_groups")
        if isinstance(groups, (list, tuple)):  # otherwise the client is damaged, and was reported
            notes.groups |= {paths.group(str(group_id)) for group_id in groups}

    def _client_documents(self, client: Document, recreated_at: Mapping[str, int]) -> ClientDocuments:
        rotations = self._all(Query(paths.ROTATIONS, order_by="rotation_id", equal=(("client_id", client.id),)))
        return ClientDocuments(
            client,
            self._all(Query(f"{client.path}/secrets", order_by="version_id")),
            rotations,
            self._all(Query(paths.audit(client.id), order_by="seq")),
            self._notices(rotations),
            self._control.get([]).read_time,
            recreated_at,
        )

    def _notices(self, rotations: Sequence[Document]) -> Mapping[str, Document]:
        path_by_id = {rotation.id: _notice_path(rotation.fields) for rotation in rotations}
        snapshot = self._control.get(set(path_by_id.values()))
        return {rotation_id: snapshot[path] for rotation_id, path in path_by_id.items()}

    # --- groups ------------------------------------------------------------------------------------------------------

    def _check_group(self, notes: _Notes, path: str, checks: GroupChecks) -> Sequence[str]:
        """Check one group. Return the ids of the events with which its members joined."""
        subject = f"group {path.rpartition('/')[2]}"
        documents = self._read_stable(path, self._group_documents)
        if documents is None:
            notes.unstable.append(subject)
            return ()
        if not documents.group.exists:
            notes.add(subject, [], [CheckFinding("a named group is missing", path)])
            return ()
        now = self._control.get([]).read_time
        notes.add(subject, documents.own, checks.findings(documents, now))
        return _join_events(documents.roster)

    def _group_documents(self, group: Document) -> GroupDocuments:
        roster = paths.roster(group.id)
        return GroupDocuments(
            group,
            self._control.get([roster])[roster],
            self._all(Query(paths.messages(group.id), order_by="index")),
            *(
                self._all(Query(collection, order_by="group_id", at_least=group.id, at_most=group.id))
                for collection in ("key_packages", "welcomes")
            ),
        )

    # --- documents of no client --------------------------------------------------------------------------------------

    def _check_chains(self, notes: _Notes, history: AuditHistory, joins: Mapping[str, Sequence[str]]) -> None:
        unstable: set[str] = set()
        # The deployment's chain comes first, since it names the others. A chain that it names has begun by then.
        history = self._check_chain(notes, audit.SYSTEM_CHAIN, history, unstable)
        for chain in history.names():
            if chain != audit.SYSTEM_CHAIN:
                history = self._check_chain(notes, chain, history, unstable)
        notes.unstable += [f"chain {chain}" for chain in sorted(unstable)]
        created, joined = history.created_groups(), history.joins()
        for path, events in joins.items():
            group_id = path.rpartition("/")[2]
            # Entries are missing from a chain that could not be read to its end.
            if not unstable & {audit.SYSTEM_CHAIN, audit.group_chain(group_id)}:
                notes.add(
                    f"group {group_id}",
                    [],
                    _group_findings(path, created[group_id], [joined[event] for event in events]),
                )

    def _check_chain(self, notes: _Notes, chain: str, history: AuditHistory, unstable: set[str]) -> AuditHistory:
        """Check one chain. Return the history with all of its entries."""
        stable = self._read_stable(paths.audit_head(chain), lambda head: (head, history.extended(chain, self._control)))
        if stable is None:
            unstable.add(chain)
            return history
        head, history = stable
        entries = history.chains[chain]
        documents = [*([head] if head.exists else []), *entries]
        notes.add(f"chain {chain}", documents, _chain_findings(chain, head, history))
        return history

    def _check_admins(self, notes: _Notes) -> None:
        auth = self.databases.auth
        try:
            documents = self._read_stable(paths.ADMINS, lambda directory: read_admin_documents(auth, directory), auth)
        except Broken:
            notes.add("admins", [], [CheckFinding("an admin's record is malformed", paths.ADMINS)])
            return
        if documents is None:
            notes.unstable.append("admins")
            return
        notes.add("admins", documents.own, admin_findings(documents))

    def _check_others(self, notes: _Notes) -> None:
        """Check documents that no other one depends on: only their fields."""
        for store, collection in (
            (self._control, "events"),
            (self._control, "rates"),
            (self.databases.auth, "invites"),
        ):
            for document in scan(store, Query(collection, order_by="expires_at")):
                notes.add(collection, [document], [])


def _notice_path(rotation: Data) -> str:
    index = str(rotation.get("distribution_message_id") or "")
    return paths.message(str(rotation.get("mls_group")), int(index) if index.isdecimal() else 0)


def _join_events(roster: Document) -> Sequence[str]:
    members = (roster.data or {}).get("members")
    if not isinstance(members, (list, tuple)):  # the group's own checks report a damaged roster
        return ()
    return [str(member.get("key_package_event")) for member in members if hasattr(member, "get")]


def _chain_findings(chain: str, head: Document, history: AuditHistory) -> Iterator[CheckFinding]:
    entries = history.chains[chain]
    chain_head = audit.Head(head.integer("seq"), head.text("hash")) if head.exists else audit.Head()
    yield from chain_findings(chain, entries, chain_head)
    if chain != audit.SYSTEM_CHAIN:
        yield from group_chain_findings(chain, entries, history.openings()[chain])


def _group_findings(path: str, creations: int, joins: Sequence[int]) -> Iterator[CheckFinding]:
    """Yield what is wrong with the numbers of audit entries: of a group's creation, and of each member's joining."""
    if creations != 1:
        yield CheckFinding("a group does not have exactly one audit entry of its creation", path)
    if not all(times == 1 for times in joins):
        yield CheckFinding("a member does not have exactly one audit entry of joining", path)
