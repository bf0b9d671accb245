"""Edit the denylists and the stop in both databases that are read for them (ADR 0016).

Rules (docs/protocol.md §7):

1. Every act reads `auth` and `control`, then writes `auth` first and `control` second, each only over the version that
   was read. The audit entry is in the commit of `control`.
2. A command passes both databases, so a denial in either one is enough. An act that dies between its two writes allows
   nothing new: a denial starts before its audit entry, and ends after it. Repeating the act completes it.
3. Two acts at the same time may interleave their four writes. So an act reads both databases again after it wrote, and
   tries again while they differ. After the last act has returned, both databases agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from typing import TYPE_CHECKING, TypeVar

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier, npub_identifier
from keyturn.domain.errors import PolicyViolation
from keyturn.domain.record import Record
from keyturn.ports.store import LostRace, delete, put
from keyturn.records import paths
from keyturn.records.codec import salvage, to_data
from keyturn.records.denylist import Denylists
from keyturn.use_cases.audit_log import audit_heads, audit_writes
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Databases, Document, Write

MOST_DENIED = 1000
MOST_CHANGED_AT_ONCE = 200
"""Items in one commit: each has an audit entry, and a commit has a limit (docs/protocol.md §3)."""
"""Users, npubs and clients together. Every command reads the whole document."""
_ID_NAMES = {"users": "user", "npubs": "npub", "clients": "client_id"}
"""Each list, and the name of one item's id in an audit entry."""


@dataclass(frozen=True, slots=True)
class OperatorStop(Record):
    """The operator's stop of the suite: since when, and why."""

    since: datetime
    reason: str


_T = TypeVar("_T", bound="Denylists | OperatorStop")


@dataclass(frozen=True, slots=True)
class EditDenylists:
    """The use cases behind `operator` that deny, allow, stop and start."""

    databases: Databases
    environment: Environment
    banner: str = ""

    def databases_agree(self) -> bool:
        """Return whether both databases hold the same. False after an act that died halfway, and during one."""
        return self._agree(paths.DENIED, Denylists) and self._agree(paths.STOPPED, OperatorStop)

    def denylists(self) -> Denylists:
        """Return the stored denylists."""
        return _entity(self.databases.control.get([paths.DENIED])[paths.DENIED], Denylists) or Denylists()

    def change(self, add: Denylists, remove: Denylists, reason: str) -> Denylists:
        """Add to the denylists and remove from them, and return the new lists.

        Adding an item that is listed, or removing one that is not, is no error. Raise `InvalidRequest` for a malformed
        id or key, and `PolicyViolation` if the lists would grow beyond MOST_DENIED.
        """
        additions, removals = _validated(add), _validated(remove)
        _edited(self.denylists(), additions, removals)  # refuse a list that is too long before any part is written
        changed = Denylists()
        for part_added, part_removed in _parts(additions, removals):
            changed = self._change(part_added, part_removed, reason)
        return changed

    def _change(self, additions: Denylists, removals: Denylists, reason: str) -> Denylists:
        def decide(before: Denylists | None, _now: datetime) -> tuple[Denylists | None, list[Transition]]:
            after = _edited(before or Denylists(), additions, removals)
            return (after if _length(after) else None), [*_transitions(before or Denylists(), after, reason)]

        return until_won(lambda: self._write(paths.DENIED, Denylists, decide), self.environment) or Denylists()

    def current_stop(self) -> OperatorStop | None:
        """Return the stop, or None while the suite runs."""
        return _entity(self.databases.control.get([paths.STOPPED])[paths.STOPPED], OperatorStop)

    def stop(self, reason: str) -> OperatorStop | None:
        """Stop all commands except those of `ALLOWED_WHILE_STOPPED`. Return the stop, which may be an earlier one."""

        def decide(before: OperatorStop | None, now: datetime) -> tuple[OperatorStop | None, list[Transition]]:
            return before or OperatorStop(now, reason), [Transition("stop", OPERATOR, {}, reason=reason)]

        return until_won(lambda: self._write(paths.STOPPED, OperatorStop, decide), self.environment)

    def start(self, reason: str) -> None:
        """End the stop. Nothing happens if the suite is not stopped."""

        def decide(_before: OperatorStop | None, _now: datetime) -> tuple[OperatorStop | None, list[Transition]]:
            return None, [Transition("start", OPERATOR, {}, reason=reason)]

        until_won(lambda: self._write(paths.STOPPED, OperatorStop, decide), self.environment)

    def _write(
        self, path: str, kind: type[_T], decide: Callable[[_T | None, datetime], tuple[_T | None, list[Transition]]]
    ) -> _T | None:
        auth, control = self.databases.auth.get([path]), self.databases.control.get([*audit_heads(), path])
        before = _entity(control[path], kind)
        after, transitions = decide(before, control.read_time)
        if _entity(auth[path], kind) != after:
            self.databases.auth.commit(_replacement(auth[path], after))
        if before != after:
            audit = audit_writes(control, transitions, control.read_time, self.banner)
            self.databases.control.commit([*_replacement(control[path], after), *audit])
        if not self._agree(path, kind):  # rule 3
            raise LostRace("another act wrote one of the two databases in between")
        return after

    def _agree(self, path: str, kind: type[_T]) -> bool:
        auth, control = (store.get([path])[path] for store in (self.databases.auth, self.databases.control))
        return _entity(auth, kind) == _entity(control, kind)


def _entity(document: Document, kind: type[_T]) -> _T | None:
    return salvage(kind, document.data) if document.data else None


def _replacement(document: Document, after: Denylists | OperatorStop | None) -> list[Write]:
    if after is not None:
        return [put(document, to_data(after))]
    return [delete(document)] if document.exists else []


def _validated(lists: Denylists) -> Denylists:
    users, clients = (tuple(map(identifier, names)) for names in (lists.users, lists.clients))
    return Denylists(users, tuple(map(npub_identifier, lists.npubs)), clients)


def _edited(before: Denylists, add: Denylists, remove: Denylists) -> Denylists:
    by_list = zip(_lists(before), _lists(add), _lists(remove), strict=True)
    users, npubs, clients = (tuple(sorted({*old, *additions} - {*removals})) for old, additions, removals in by_list)
    after = replace(before, users=users, npubs=npubs, clients=clients)
    # Lists that are too long already may still shrink.
    if _length(after) > MOST_DENIED and _length(after) > _length(before):
        raise PolicyViolation("too_many_denied", f"The denylists may have at most {MOST_DENIED} items together.")
    return after


def _parts(additions: Denylists, removals: Denylists) -> Iterator[tuple[Denylists, Denylists]]:
    """Yield the change in parts that fit into one commit, which has an audit entry for each item.

    Removals come first, so that the lists are never longer in between than they are before and after.
    """
    if _length(additions) + _length(removals) <= MOST_CHANGED_AT_ONCE:
        yield additions, removals
        return
    for part in _slices(removals):
        yield Denylists(), part
    for part in _slices(additions):
        yield part, Denylists()


def _slices(lists: Denylists) -> Iterator[Denylists]:
    items = [(at, item) for at, names in enumerate(_lists(lists)) for item in names]
    for start in range(0, len(items), MOST_CHANGED_AT_ONCE):
        part = items[start : start + MOST_CHANGED_AT_ONCE]
        yield Denylists(*(tuple(item for at, item in part if at == number) for number in range(3)))


def _lists(lists: Denylists) -> tuple[tuple[str, ...], ...]:
    return (lists.users, lists.npubs, lists.clients)


def _length(lists: Denylists) -> int:
    return sum(map(len, _lists(lists)))


def _transitions(before: Denylists, after: Denylists, reason: str) -> Iterator[Transition]:
    """Yield one audit transition for each item that was added or removed."""
    for list_name, id_name in _ID_NAMES.items():
        old, new = set(getattr(before, list_name)), set(getattr(after, list_name))
        for action, items in (("deny", new - old), ("allow", old - new)):
            for item in sorted(items):
                yield Transition(action, OPERATOR, {id_name: item}, reason=reason)
