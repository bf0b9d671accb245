"""Incidents: messages to the user about a group, such as members that joined or left, and ignored messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.proofs.npub import encode_npub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Incident:
    """A message to the user about a group; `index` is its place in the group's log.

    `is_fault` is true for an unexpected message that was ignored or refused, and false for ordinary news.
    """

    group_id: str
    index: int
    sentence: str
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class MemberChange:
    """A device (its key, 64 hex digits) that the service added to a group or removed from it."""

    group_id: str
    index: int
    npub: str
    joined: bool


def describe_changes(changes: Iterable[MemberChange], users: Mapping[str, str]) -> Iterator[Incident]:
    """Return the incidents for the changes of one group, in order; `users` maps keys to user names, where known.

    A device that is removed and added at once has returned with new keys (docs/http.md, `enrol`). That is reported as
    one incident.
    """
    removal: MemberChange | None = None
    for change in changes:
        # A rejoin is a removal and an addition of the same key, one right after the other.
        has_returned = removal is not None and change.joined and change.npub == removal.npub
        if removal is not None and not has_returned:
            yield _news(removal, users, "was removed")
        removal = None if change.joined else change
        if change.joined:
            yield _news(change, users, "came back with new keys" if has_returned else "joined")
    if removal is not None:
        yield _news(removal, users, "was removed")


def _news(change: MemberChange, users: Mapping[str, str], verb: str) -> Incident:
    npub, user = encode_npub(change.npub), users.get(change.npub)
    member = f"{user} ({npub})" if user else npub
    return Incident(change.group_id, change.index, f"{member} {verb}.", is_fault=False)
