"""Audit: hash chains of entries, one entry for each transition, in its own commit (docs/protocol.md §9).

Each client has a chain, each group has one, and the deployment has one for everything else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.encodings import canonical_json, to_milliseconds
from keyturn.domain.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

GENESIS = "0" * 64
"""`prev` of a chain's first entry."""

SYSTEM_CHAIN = "_system"
"""The deployment's chain. No client id starts with an underscore."""

OPEN_CHAIN = "open_chain"
"""The action of the entry in the deployment's chain that comes with the first entry of a group's chain."""

OPERATOR = "operator"
"""The actor of the operator's entries. No user can have this id."""


def group_chain(group_id: str) -> str:
    """Return the name of a group's chain. No id contains a colon, so it differs from every other chain's name."""
    return f"_group:{group_id}"


def chain_of(ids: Mapping[str, str]) -> str:
    """Return the chain of an entry that belongs to no client's: that of the group in its ids, or the deployment's."""
    group_id = ids.get("group_id", "")
    return group_chain(group_id) if group_id else SYSTEM_CHAIN


@dataclass(frozen=True, slots=True)
class Head(Record):
    """The end of a chain: the last entry's sequence number (0: no entry yet) and hash (lower-case hex)."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Transition:
    """A change to record, before it has a place in a chain. It never contains a secret."""

    action: str
    actor: str
    ids: Mapping[str, str]
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a chain. The stored document is `content` together with `hash`."""

    seq: int
    content: Mapping[str, object]
    hash: str

    @property
    def head(self) -> Head:
        """The chain's head after this entry."""
        return Head(self.seq, self.hash)


def entry_hash(content: Mapping[str, object]) -> str:
    """Return SHA-256 (lower-case hex) over the RFC 8785 canonical JSON of an entry without its hash."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def chained(head: Head, transitions: Iterable[Transition], at: datetime, *, banner: str = "") -> Sequence[Entry]:
    """Return the entries that follow `head`, in order, each with the stage's `banner` if there is one."""
    entries: list[Entry] = []
    for transition in transitions:
        head = entries[-1].head if entries else head
        content: dict[str, object] = {
            "seq": head.seq + 1,
            "prev": head.hash,
            "at": to_milliseconds(at),
            "actor": transition.actor,
            "action": transition.action,
            # An id that does not apply is left out, so that an absent and an empty one have the same hash.
            "ids": {key: value for key, value in transition.ids.items() if value},
            "before": dict(transition.before),
            "after": dict(transition.after),
            "reason": transition.reason,
        }
        # Part of the hashed content: a trial's entries cannot be made to look like production's later.
        if banner:
            content["banner"] = banner
        entries.append(Entry(head.seq + 1, content, entry_hash(content)))
    return entries


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first entry at which a chain was changed, removed, reordered or truncated."""

    seq: int
    problem: str


def first_break(contents: Iterable[tuple[Mapping[str, object], str]], head: Head) -> ChainBreak | None:
    """Return where the stored entries, as (content, hash) in order, differ from the chain with this head, or None."""
    last = Head()
    for content, stored_hash in contents:
        if content.get("seq") != last.seq + 1:
            return ChainBreak(last.seq + 1, "removed or reordered")
        if entry_hash(content) != stored_hash:
            return ChainBreak(last.seq + 1, "changed")
        if content.get("prev") != last.hash:
            # This entry is whole, so the one before it was changed together with its hash.
            return ChainBreak(max(last.seq, 1), "changed")
        last = Head(last.seq + 1, stored_hash)
    return _end_break(last, head)


def _end_break(last: Head, head: Head) -> ChainBreak | None:
    if last.seq != head.seq:
        return ChainBreak(min(last.seq, head.seq) + 1, "truncated, or the head was changed")
    return None if last == head else ChainBreak(max(last.seq, 1), "changed")
