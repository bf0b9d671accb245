"""Records: entities that are stored as documents, and what a document has that this release cannot read.

Two releases run at once during an update, and a store can be damaged (docs/upgrade.md). So reading tolerates, and only
writing validates:

1. A field that this release does not know stays in `unread`, and is written back with the entity.
2. A text that is no member of its enum becomes an unrecognised member of that enum. It equals no known member and keeps
   its text.
3. Where a damaged document must still be used, a field that cannot be read gets a stand-in of its type, and its stored
   value stays in `unread`. It is written back unless the field was set since.
4. What grants something under a value that this release does not know is refused (`domain.recognition`).
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the document codec reads these annotations
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from enum import StrEnum

_E = TypeVar("_E", bound="StrEnum")

UNRECOGNISED: Final = "UNRECOGNISED"
"""The name of each member of an enum that this release does not know."""
OPTIONAL: Final = {"optional": True}
"""Metadata of a field that documents from before it was added lack. Every other field is stored always."""
MISSING: Final = object()
"""Stands for the value of a field that the stored document does not have."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A stored value that this release cannot read, and the stand-in that the entity has in its place."""

    value: object = field(repr=False)
    stand_in: object = None


@dataclass(frozen=True, slots=True)
class Record:
    """The base of every entity that a document or a part of one holds."""

    unread: Mapping[str, Unread] = field(default_factory=dict, kw_only=True, compare=False, repr=False)
    """The fields that this release cannot read, by name: unknown ones (rule 1) and damaged ones (rule 3)."""

    @property
    def damaged(self) -> frozenset[str]:
        """The names of this entity's own fields that have a stand-in."""
        return frozenset(item.name for item in fields(self) if item.name in self.unread) if self.unread else _NO_FIELDS


_NO_FIELDS: Final[frozenset[str]] = frozenset()


def unrecognised(kind: type[_E], text: str) -> _E:
    """Return a member of an enum for a stored text that is none of its members."""
    # Built like a member, and not registered: `kind(text)` still refuses the text wherever input is validated.
    member = str.__new__(kind, text)
    member._name_, member._value_ = UNRECOGNISED, text
    return member


def is_recognised(member: StrEnum) -> bool:
    """Return whether this release knows a member of an enum that was read."""
    return member.name != UNRECOGNISED
