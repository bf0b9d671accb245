"""The history of what belongs to no client: the entries of the deployment's chain and of all groups' chains, read once.

The chains tell which groups were created and re-created, and which members joined. No collection lists that. Entries
about a group may also be in the deployment's chain: groups had no chain of their own once. Chains only grow, so
`continued` reads the entries that came since, and none a second time.
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
    from collections.abc import Iterator, Sequence

    from keyturn.ports.store import Document, Store

_CREATE, _RECREATE, _JOIN = "create_group", "refound_group", "join"


@dataclass(frozen=True, slots=True)
class AuditHistory:
    """The entries of each chain, in order. Damaged entries are kept: the check of the chain reports them."""

    chains: Mapping[str, Sequence[Document]] = field(default_factory=dict, repr=False)

    def continued(self, store: Store) -> AuditHistory:
        """Return the history with the entries that were appended since."""
        system = self.extended(audit.SYSTEM_CHAIN, store)
        return AuditHistory({chain: system.extended(chain, store).chains[chain] for chain in system.names()})

    def extended(self, chain: str, store: Store) -> AuditHistory:
        """Return the history with the entries that were appended to one chain since."""
        entries = self.chains.get(chain, ())
        query = Query(paths.audit(chain), order_by="seq")
        added = scan(store, query.following(entries[-1]) if entries else query)
        return AuditHistory({**self.chains, chain: (*entries, *added)})

    def names(self) -> Sequence[str]:
        """Return the names of all chains: the deployment's, and those of groups that it names."""
        return (audit.SYSTEM_CHAIN, *sorted(self.openings()))

    def openings(self) -> Counter[str]:
        """Return how often each group's chain was opened, by its name."""
        return Counter(audit.chain_of(ids) for _, ids in self._events(audit.OPEN_CHAIN))

    def created_groups(self) -> Counter[str]:
        """Return how often each group was created, by group id."""
        return Counter(ids["group_id"] for _, ids in self._events(_CREATE))

    def joins(self) -> Counter[str]:
        """Return how often a member joined, by the id of its key-package event."""
        return Counter(ids["event_id"] for _, ids in self._events(_JOIN) if "event_id" in ids)

    def recreated_at(self) -> Mapping[str, int]:
        """Return when (Unix milliseconds) each group was last re-created after a restore, by group id."""
        # The deployment's chain comes first, and its entries about a group are older than the group's chain.
        return {ids["group_id"]: at for at, ids in self._events(_RECREATE)}

    def _events(self, action: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield time and ids of each entry with this action. Entries of another form are skipped."""
        for entry in (entry for entries in self.chains.values() for entry in entries):
            data = entry.data or {}
            at, ids = data.get("at"), data.get("ids")
            if data.get("action") == action and isinstance(at, int) and isinstance(ids, Mapping) and "group_id" in ids:
                yield at, {name: str(value) for name, value in ids.items()}
