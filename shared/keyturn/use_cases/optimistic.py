"""Optimistic retry: read, decide, commit; after a lost race, again from the start, with a random pause.

`LostRace` also means that the outcome of a commit is unknown (ports/store.py). A retry then finds the call's own work.
`until_won_once` recognises it by a document that only this call creates, so that it is neither repeated nor refused.
`Attempts` does so where an act creates a document that others may create as well, and the answer must not be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from keyturn.domain.encodings import length_prefixed
from keyturn.domain.errors import Unavailable
from keyturn.ports.store import Create, Delete, LostRace, delete
from keyturn.records import paths
from keyturn.use_cases.signed_events import ANSWERS_LAST, stored_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Document, Replace, Store

_T = TypeVar("_T")

ATTEMPTS = 12
FIRST_PAUSE_SECONDS = 0.004
LONGEST_PAUSE_SECONDS = 0.5
_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the operator. A `key` names it when it is repeated, "" names none (docs/http.md)."""

    key: str = ""

    def act(self, parts: Sequence[str], environment: Environment) -> Act:
        """Return the act that `parts` name within this call."""
        if not self.key:
            return Act(paths.event(environment.random(_ID_BYTES).hex()))
        return Act(paths.event(hashlib.sha256(length_prefixed("keyturn/act/v1", self.key, *parts)).hexdigest()))


UNNAMED = Call()


@dataclass(frozen=True, slots=True)
class Act:
    """What one call does in one commit. Its id is known before the first attempt."""

    path: str

    def mark(self, answer: Data, now: datetime) -> Create:
        """Return the write that stores the act's answer, for the commit of the act itself."""
        # Each attempt creates the same document. So the store applies at most one of them, even if an earlier attempt
        # takes effect only after a later one has read.
        return Create(self.path, {"answer": answer, "expires_at": now + ANSWERS_LAST})


@dataclass(frozen=True, slots=True)
class Attempts(Generic[_T]):
    """The attempts of one call, each with its result and an id. A document's field `act` names the applied one.

    Results are kept in memory only, so another call that finds the id learns nothing from it.
    """

    environment: Environment
    _results: dict[str, _T] = field(default_factory=dict, init=False, repr=False)

    def add(self, result: _T) -> str:
        """Keep the result of an attempt, and return the id to store in its commit."""
        attempt_id = self.environment.random(_ID_BYTES).hex()
        self._results[attempt_id] = result
        return attempt_id

    def applied(self, document: Document) -> _T | None:
        """Return the result of the attempt that wrote this document, or None if no attempt of this call did."""
        return self._results.get(str(document.data.get("act"))) if document.data is not None else None

    def find(self, store: Store, path: str) -> _T | None:
        """Read a document, and return as `applied` does. Before the first attempt nothing is read."""
        return self.applied(store.get([path])[path]) if self._results else None


def until_won(attempt: Callable[[], _T], environment: Environment) -> _T:
    """Return the result of `attempt`, repeated after each `LostRace`. Raises `Unavailable` after ATTEMPTS of them."""
    for turn in range(ATTEMPTS):
        try:
            return attempt()
        except LostRace:
            environment.sleep(_pause(turn, environment))
    raise Unavailable("contended", "Too many changes at once. Try again.")


def until_won_once(
    attempt: Callable[[Act], Data], store: Store, environment: Environment, call: Call = UNNAMED, *parts: str
) -> Data:
    """Return the answer of `attempt`, as `until_won` does, or the answer that an earlier attempt of this call stored.

    The commit of `attempt` in `store` includes `Act.mark` with the same answer. With a named `call`, an earlier attempt
    may be one of an earlier request. `parts` tell the acts of one call apart.
    """
    act = call.act(parts, environment)
    has_lost = bool(call.key)

    def turn() -> Data:
        nonlocal has_lost
        # Before the first attempt of an unnamed call there is nothing to find, so it costs no read.
        answer = stored_answer(store.get([act.path])[act.path]) if has_lost else None
        has_lost = True
        return attempt(act) if answer is None else answer

    return until_won(turn, environment)


def write_if_unchanged(store: Store, write: Create | Replace | Delete, environment: Environment) -> bool:
    """Commit one write of a document that was read. Return whether the document is as written now.

    False if another process changed it first, or if the outcome stays unknown. So nothing may rest on the write.
    """
    expected = None if isinstance(write, Create) else write.version
    has_lost = False

    def turn() -> bool:
        nonlocal has_lost
        if has_lost and (current := store.get([write.path])[write.path]).version != expected:
            return _is_as_written(current, write)
        has_lost = True
        store.commit([write])
        return True

    try:
        return until_won(turn, environment)
    except Unavailable:
        return False


def delete_unchanged(store: Store, documents: Sequence[Document], environment: Environment) -> int:
    """Delete documents that were read, at most a page. Return how many are gone: one that was changed since stays."""
    remaining, gone = list(documents), len(documents)
    has_lost = False

    def turn() -> None:
        nonlocal remaining, gone, has_lost
        if has_lost:
            current = store.get([document.path for document in remaining])
            gone -= sum(current[item.path].exists and current[item.path].version != item.version for item in remaining)
            remaining = [item for item in remaining if current[item.path].version == item.version]
        has_lost = True
        if remaining:
            store.commit([delete(document) for document in remaining])

    until_won(turn, environment)
    return gone


def _is_as_written(current: Document, write: Create | Replace | Delete) -> bool:
    if isinstance(write, Delete):
        return not current.exists
    return _comparable(current.data) == _comparable(write.data)


def _comparable(value: object) -> object:
    # Stores return read-only copies: another type of list and of map.
    if isinstance(value, Mapping):
        return {name: _comparable(item) for name, item in value.items()}
    return [_comparable(item) for item in value] if isinstance(value, list | tuple) else value


def _pause(turn: int, environment: Environment) -> float:
    # A random share of the whole pause ("full jitter"): processes that lost one race together do not meet again.
    bound = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**turn)
    return bound * int.from_bytes(environment.random(4), "big") / 2**32
