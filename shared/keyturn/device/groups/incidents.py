"""What is told to the person at the device about a group: who came and went, and what was not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.proofs.npub import encode_npub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that a person should know of a group; `index` is its place in the log.

    A fault is something that is not as it should be, and was left out; all else is news.
    """

    group_id: str
    index: int
    sentence: str
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A device (its key, 64 hex digits) that the service added to a group, or removed from it."""

    group_id: str
    index: int
    npub: str
    joined: bool


def told(changes: Iterable[Change], users: Mapping[str, str]) -> Iterator[Incident]:
    """Return the news in changes of one group, in order; `users` are the people behind keys, as far as known.

    Who is removed and added at once has come back with new keys (docs/http.md, `enrol`): that is one piece of news.
    """
    pending: Change | None = None
    for change in changes:
        returned = pending is not None and change.joined and change.npub == pending.npub
        if pending is not None and not returned:
            yield _news(pending, users, "was removed")
        pending = None if change.joined else change
        if change.joined:
            yield _news(change, users, "came back with new keys" if returned else "joined")
    if pending is not None:
        yield _news(pending, users, "was removed")


def _news(change: Change, users: Mapping[str, str], what: str) -> Incident:
    npub, user = encode_npub(change.npub), users.get(change.npub)
    who = f"{user} ({npub})" if user else npub
    return Incident(change.group_id, change.index, f"{who} {what}.", is_fault=False)
