"""The groups that administer a client: how many, and each once (docs/protocol.md §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_GROUPS: Final = 20
"""How many groups may administer one client. Each notice is encrypted for each of them."""


def checked_groups(groups: Sequence[str]) -> tuple[str, ...]:
    """Return group ids. Raises `InvalidRequest` for a malformed or repeated id, for none, and for too many."""
    if not 0 < len(groups) <= MOST_GROUPS:
        raise InvalidRequest("bad_groups", f"A client has between 1 and {MOST_GROUPS} groups.")
    names = tuple(map(identifier, groups))
    if len(set(names)) != len(names):
        raise InvalidRequest("bad_groups", "Each group of a client is listed once.")
    return names
