"""Deny: the operator's denylists and the stop of everything, written to both databases that they are read in.

1. An act reads auth, then control, and writes auth first, each resting on what was read. So the copy that `admin_proof`
   reads is never older than what control says together with the audit entry.
2. Whatever is wanted of an admin passes both databases: what either forbids is forbidden. An act that dies between the
   two allows nothing that was not allowed: a denial holds a moment before its audit entry, and its end not before it.
   The same act again completes it; until then `everywhere` says no.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from typing import TYPE_CHECKING, TypeVar

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.encodings import identifier, npub_identifier
from keyturn.domain.errors import PolicyViolation
from keyturn.ports.store import Delete, put
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.records.denylist import Denylists
from keyturn.use_cases.audit_log import HEAD, system_writes
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Databases, Document, Write

MOST_DENIED = 1000
"""Users, npubs and clients together: every command reads them all."""
_IDS = {"users": "user", "npubs": "npub", "clients": "client_id"}
"""A list, and what an audit entry calls one of its items."""


@dataclass(frozen=True, slots=True)
class OperatorStop:
    """That everything is stopped: since when, and why."""

    since: datetime
    reason: str


_T = TypeVar("_T", bound="Denylists | OperatorStop")


@dataclass(frozen=True, slots=True)
class EditDenylists:
    """The use cases behind `operator` that forbid and allow."""

    databases: Databases
    environment: Environment
    banner: str = ""

    def everywhere(self) -> bool:
        """Return whether both databases say the same: no act died between them, or is just going on."""
        auth, control = (
            store.get([paths.DENIED, paths.STOPPED]) for store in (self.databases.auth, self.databases.control)
        )
        kinds: tuple[tuple[str, type[Denylists | OperatorStop]], ...] = (
            (paths.DENIED, Denylists),
            (paths.STOPPED, OperatorStop),
        )
        return all(_entity(auth[path], kind) == _entity(control[path], kind) for path, kind in kinds)

    def denied(self) -> Denylists:
        """Return the denylists of the store."""
        return _entity(self.databases.control.get([paths.DENIED])[paths.DENIED], Denylists) or Denylists()

    def change(self, add: Denylists, remove: Denylists, reason: str) -> Denylists:
        """Add to the denylists and remove from them; the lists after. What is so already is no error.

        `InvalidRequest` for what is no id or key; `PolicyViolation` when they would be longer than MOST_DENIED.
        """
        wanted, unwanted = _checked(add), _checked(remove)

        def changed(before: Denylists | None, _now: datetime) -> tuple[Denylists | None, list[Transition]]:
            after = _changed(before or Denylists(), wanted, unwanted)
            return (after if _length(after) else None), [*_noted(before or Denylists(), after, reason)]

        return until_won(lambda: self._write(paths.DENIED, Denylists, changed), self.environment) or Denylists()

    def stopped(self) -> OperatorStop | None:
        """Return the stop that stands, None while all runs."""
        return _entity(self.databases.control.get([paths.STOPPED])[paths.STOPPED], OperatorStop)

    def stop(self, reason: str) -> OperatorStop | None:
        """Stop everything (denials.py says what that is); the stop that stands, which may be an earlier one."""

        def stopped(before: OperatorStop | None, now: datetime) -> tuple[OperatorStop | None, list[Transition]]:
            return before or OperatorStop(now, reason), [Transition("stop", OPERATOR, {}, reason=reason)]

        return until_won(lambda: self._write(paths.STOPPED, OperatorStop, stopped), self.environment)

    def start(self, reason: str) -> None:
        """Let everything go on; nothing happens if it does."""

        def started(_before: OperatorStop | None, _now: datetime) -> tuple[OperatorStop | None, list[Transition]]:
            return None, [Transition("start", OPERATOR, {}, reason=reason)]

        until_won(lambda: self._write(paths.STOPPED, OperatorStop, started), self.environment)

    def _write(
        self, path: str, kind: type[_T], decide: Callable[[_T | None, datetime], tuple[_T | None, list[Transition]]]
    ) -> _T | None:
        auth, control = self.databases.auth.get([path]), self.databases.control.get([HEAD, path])
        before = _entity(control[path], kind)
        after, done = decide(before, control.read_time)
        if _entity(auth[path], kind) != after:
            self.databases.auth.commit(_replaced(auth[path], after))
        if before != after:
            noted = system_writes(control, done, control.read_time, self.banner)
            self.databases.control.commit([*_replaced(control[path], after), *noted])
        return after


def _entity(document: Document, kind: type[_T]) -> _T | None:
    return from_data(kind, document.data) if document.data else None


def _replaced(document: Document, after: Denylists | OperatorStop | None) -> list[Write]:
    if after is not None:
        return [put(document, to_data(after))]
    return [Delete(document.path, document.version)] if document.version else []


def _checked(given: Denylists) -> Denylists:
    users, clients = (tuple(map(identifier, names)) for names in (given.users, given.clients))
    return Denylists(users, tuple(map(npub_identifier, given.npubs)), clients)


def _changed(before: Denylists, add: Denylists, remove: Denylists) -> Denylists:
    lists = zip(_lists(before), _lists(add), _lists(remove), strict=True)
    after = Denylists(*(tuple(sorted({*had, *added} - {*removed})) for had, added, removed in lists))
    if _length(after) > MOST_DENIED and _length(after) > _length(before):
        raise PolicyViolation("too_many_denied", "The denylists would be too long.")
    return after


def _lists(denied: Denylists) -> tuple[tuple[str, ...], ...]:
    return (denied.users, denied.npubs, denied.clients)


def _length(denied: Denylists) -> int:
    return sum(map(len, _lists(denied)))


def _noted(before: Denylists, after: Denylists, reason: str) -> Iterator[Transition]:
    for name, called in _IDS.items():
        old, new = set(getattr(before, name)), set(getattr(after, name))
        changes: Iterable[tuple[str, str]] = [
            *(("deny", item) for item in sorted(new - old)),
            *(("allow", item) for item in sorted(old - new)),
        ]
        for action, item in changes:
            yield Transition(action, OPERATOR, {called: item}, reason=reason)
