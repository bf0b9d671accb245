"""Examine: every invariant of protocol.md §4 over one deployment, by reading only; each breach is named.

Rules:

1. What changes together is judged together: the documents of a client, of a group and of the system's chain are read
   between two looks at the one document that each change of theirs writes. If it moved, they are read again: a running
   store changes underneath. What never stood still is said to be restless, and is no breach.
2. Reads go by declared indexes, a page at a time; one client, or one group, is in memory at a time.
3. A document is examined twice over: its fields against its kind, and what it says against the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from keyturn.domain import audit_chain as audit
from keyturn.domain.errors import Broken, Refusal
from keyturn.ports.keys import KeyRefused
from keyturn.ports.store import Query, scan
from keyturn.records import paths
from keyturn.records.schema import kind_of
from keyturn.use_cases.audit_log import HEAD
from keyturn.use_cases.doctor.admin_checks import admin_findings, read_admin_documents
from keyturn.use_cases.doctor.audit_checks import chain_findings
from keyturn.use_cases.doctor.client_checks import ClientDocuments, client_findings
from keyturn.use_cases.doctor.findings import Breach, Finding
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

LOOKS = 20
REFOUND = "refound_group"
_DAMAGE = (Broken, Refusal, LookupError, TypeError, ValueError, AttributeError)
"""What a rule stumbles with over a value of a type that no writer of ours stored."""
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of it: breaches, how many documents of each kind were looked at, and what never stood still.

    `seen` has the paths of all documents that were examined.
    """

    breaches: tuple[Breach, ...]
    counts: Mapping[str, int]
    unstable: tuple[str, ...]
    seen: frozenset[str] = field(repr=False)


@dataclass(slots=True)
class _Notes:
    breaches: list[Breach] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unstable: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    """Paths of the groups that clients name."""
    refounded: Mapping[str, int] = field(default_factory=dict)
    """When (Unix milliseconds) a group was last founded anew, by its id: its log began again then."""

    def add(self, subject: str, documents: Iterable[Document], findings: Iterable[Finding]) -> None:
        for document in documents:
            kind = kind_of(document.path)
            self.seen.add(document.path)
            self.counts[kind.noun if kind else "documents of no kind"] += 1
            for problem in kind.shape.problems(cast("Data", document.data)) if kind else ():
                self.breaches.append(Breach(subject, f"a document {problem}", document.path))
        self.breaches += [Breach(subject, finding.sentence, finding.where) for finding in _survived(findings)]


def _survived(findings: Iterable[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except _DAMAGE:
        yield Finding("a document is so damaged that not every rule could be judged")


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
        """Look at everything once; `StoreUnavailable` or `KeyUnavailable` when that can't be."""
        notes = _Notes(refounded=self._refounded())
        npub = self._service(notes)
        for client in scan(self._control, Query(paths.CLIENTS, order_by="client_id")):
            self._client(notes, client.path)
        examiner = GroupChecks(self.groups, self.read_head, npub)
        founded = {path: self._group(notes, path, examiner) for path in sorted(self._known_groups() | notes.groups)}
        self._system_chain(notes, founded)
        self._admins(notes)
        self._rest(notes)
        return CheckResult(tuple(notes.breaches), dict(notes.counts), tuple(notes.unstable), frozenset(notes.seen))

    @property
    def _control(self) -> Store:
        return self.databases.control

    def _standing(self, path: str, read: Callable[[Document], _T], store: Store | None = None) -> _T | None:
        store = store or self._control
        for _ in range(LOOKS):
            first = store.get([path])[path]
            found = read(first)
            if store.get([path])[path].version == first.version:
                return found
            self.environment.sleep(PAUSE_SECONDS)
        return None

    # --- the service -------------------------------------------------------------------------------------------------

    def _service(self, notes: _Notes) -> str:
        """Examine the service's identity; its npub as the store has it, empty if there is none."""
        document = self._control.get([paths.SERVICE])[paths.SERVICE]
        if document.data is not None:
            notes.add("service", [document], self._identity_findings(document.data))
            return str(document.data.get("npub", ""))
        if self._known_groups():
            notes.add("service", [], [Finding("there are groups, and no service identity", paths.SERVICE)])
        return ""

    def _identity_findings(self, data: Data) -> Iterator[Finding]:
        try:
            matches = self.groups.npub == data["npub"]
        except (KeyRefused, ValueError):
            yield Finding("the service's identity does not unseal", paths.SERVICE)
            return
        if not matches:
            yield Finding("the service's identity is another than its document says", paths.SERVICE)

    # --- clients -----------------------------------------------------------------------------------------------------

    def _client(self, notes: _Notes, path: str) -> None:
        subject = f"client {path.rpartition('/')[2]}"
        found = self._standing(path, lambda client: self._client_documents(client, notes.refounded))
        if found is None:
            notes.unstable.append(subject)
            return
        notes.add(subject, found.own, client_findings(found, self.policy, self.mac_key))
        named = cast("Sequence[str]", cast("Data", found.client.data).get("admin_groups", ()))
        notes.groups |= {paths.group(group_id) for group_id in named}

    def _client_documents(self, client: Document, refounded: Mapping[str, int]) -> ClientDocuments:
        own_id = client.path.rpartition("/")[2]
        rotations = self._all(Query(paths.ROTATIONS, order_by="rotation_id", equal=(("client_id", own_id),)))
        return ClientDocuments(
            client,
            self._all(Query(f"{client.path}/secrets", order_by="version_id")),
            rotations,
            self._all(Query(paths.audit(own_id), order_by="seq")),
            self._notices(rotations),
            self._control.get([]).read_time,
            refounded,
        )

    def _notices(self, rotations: Sequence[Document]) -> Mapping[str, Document]:
        wanted = {rotation.path.rpartition("/")[2]: _notice_path(cast("Data", rotation.data)) for rotation in rotations}
        snapshot = self._control.get(set(wanted.values()))
        return {rotation_id: snapshot[path] for rotation_id, path in wanted.items()}

    def _all(self, query: Query) -> Sequence[Document]:
        return tuple(scan(self._control, query))

    # --- groups ------------------------------------------------------------------------------------------------------

    def _group(self, notes: _Notes, path: str, examiner: GroupChecks) -> Sequence[str]:
        """Examine one group; the events by which its members joined."""
        subject = f"group {path.rpartition('/')[2]}"
        found = self._standing(path, self._group_documents)
        if found is None:
            notes.unstable.append(subject)
            return ()
        if not found.group.exists:
            notes.add(subject, [], [Finding("a group that is named is missing", path)])
            return ()
        now = self._control.get([]).read_time
        notes.add(subject, found.own, examiner.findings(found, now))
        members = cast("Sequence[Data]", (found.roster.data or {}).get("members", ()))
        return [cast("str", member.get("key_package_event")) for member in members]

    def _refounded(self) -> Mapping[str, int]:
        """Return when groups were last founded anew (freeze.py); what damage makes unreadable, other rules find."""
        chain = self._all(Query(paths.audit(audit.SYSTEM_CHAIN), "seq"))
        told = [(cast("Data", entry.data).get("at"), *_told(cast("Data", entry.data))) for entry in chain]
        return {str(group_id): at for at, action, group_id in told if action == REFOUND and isinstance(at, int)}

    def _known_groups(self) -> set[str]:
        """Return the paths of all groups that were founded: their chain tells, and no collection is listed for it."""
        told = (_told(cast("Data", entry.data)) for entry in self._all(Query(paths.audit(audit.SYSTEM_CHAIN), "seq")))
        return {paths.group(str(group_id)) for action, group_id in told if action == "create_group"}

    def _group_documents(self, group: Document) -> GroupDocuments:
        group_id = group.path.rpartition("/")[2]
        roster = paths.roster(group_id)
        return GroupDocuments(
            group,
            self._control.get([roster])[roster],
            self._all(Query(paths.messages(group_id), order_by="index")),
            *(
                self._all(Query(name, order_by="group_id", at_least=group_id, at_most=group_id))
                for name in ("key_packages", "welcomes")
            ),
        )

    # --- what belongs to no client -----------------------------------------------------------------------------------

    def _system_chain(self, notes: _Notes, founded: Mapping[str, Sequence[str]]) -> None:
        subject = f"chain {audit.SYSTEM_CHAIN}"
        found = self._standing(HEAD, lambda head: (head, self._all(Query(paths.audit(audit.SYSTEM_CHAIN), "seq"))))
        if found is None:
            notes.unstable.append(subject)
            return
        head, entries = found
        notes.add(subject, [*([head] if head.exists else []), *entries], _system_findings(head, entries, founded))

    def _admins(self, notes: _Notes) -> None:
        auth = self.databases.auth
        try:
            found = self._standing(paths.ADMINS, lambda register: read_admin_documents(auth, register), auth)
        except Broken:
            notes.add("admins", [], [Finding("a record of an admin is not of its form", paths.ADMINS)])
            return
        if found is None:
            notes.unstable.append("admins")
            return
        notes.add("admins", found.own, admin_findings(found))

    def _rest(self, notes: _Notes) -> None:
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


def _system_findings(
    head: Document, entries: Sequence[Document], founded: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    data = head.data or {"seq": 0, "hash": audit.GENESIS}
    known = audit.Head(cast("int", data.get("seq")), cast("str", data.get("hash")))
    yield from chain_findings(audit.SYSTEM_CHAIN, entries, known)
    told = Counter(_told(cast("Data", entry.data)) for entry in entries)
    for path, events in founded.items():
        if told["create_group", path.rpartition("/")[2]] != 1:
            yield Finding("a group was not founded by exactly one audit entry", path)
        if not all(told["join", event] == 1 for event in events):
            yield Finding("a member did not join by exactly one audit entry", path)


def _told(entry: Data) -> tuple[object, object]:
    ids = cast("Data", entry.get("ids", {}))
    return entry.get("action"), ids.get("event_id") or ids.get("group_id")
