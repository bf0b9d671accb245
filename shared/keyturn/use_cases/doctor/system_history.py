"""The history of what belongs to no client: the entries of the system's audit chain, read once.

The chain tells which groups were created and re-created, and which members joined. No collection lists that. The chain
only grows, so `continued` reads the entries that came since, and none a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain import audit_chain as audit
from keyturn.ports.store import Query, scan
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.store import Document, Store

_CREATE, _RECREATE, _JOIN = "create_group", "refound_group", "join"
_ENTRIES = Query(paths.audit(audit.SYSTEM_CHAIN), order_by="seq")


@dataclass(frozen=True, slots=True)
class SystemHistory:
    """The system chain's entries, in order. Damaged entries are kept: the check of the chain reports them."""

    entries: tuple[Document, ...] = field(default=(), repr=False)

    def continued(self, store: Store) -> SystemHistory:
        """Return the history with the entries that were appended since."""
        query = _ENTRIES.following(self.entries[-1]) if self.entries else _ENTRIES
        return SystemHistory((*self.entries, *scan(store, query)))

    def created_groups(self) -> Counter[str]:
        """Return how often each group was created, by group id."""
        return Counter(ids["group_id"] for _, ids in self._events(_CREATE))

    def joins(self) -> Counter[str]:
        """Return how often a member joined, by the id of its key-package event."""
        return Counter(ids["event_id"] for _, ids in self._events(_JOIN) if "event_id" in ids)

    def recreated_at(self) -> Mapping[str, int]:
        """Return when (Unix milliseconds) each group was last re-created after a restore, by group id."""
        return {ids["group_id"]: at for at, ids in self._events(_RECREATE)}

    def _events(self, action: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield time and ids of each entry with this action. Entries of another form are skipped."""
        for entry in self.entries:
            data = entry.data or {}
            at, ids = data.get("at"), data.get("ids")
            if data.get("action") == action and isinstance(at, int) and isinstance(ids, Mapping) and "group_id" in ids:
                yield at, {name: str(value) for name, value in ids.items()}
