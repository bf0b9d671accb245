"""The history of the chains that no client has: every entry is read once, and damaged ones do no harm."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keyturn.ports.store import Create
from keyturn.records import paths
from keyturn.use_cases.doctor.audit_history import AuditHistory

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.store import Data, Document, Query

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class CountingStore(MemoryStore):
    """A store that counts the documents that its queries return."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW)
        self.documents = 0

    def query(self, query: Query) -> Sequence[Document]:
        page = super().query(query)
        self.documents += len(page)
        return page

    def append(self, seq: int, action: str, chain: str = "_system", **fields: object) -> None:
        entry: Data = {"seq": seq, "action": action, "at": seq * 1000, **fields}  # type: ignore[dict-item]  # damaged too
        self.commit([Create(paths.audit_entry(chain, seq), entry)])


def test_an_entry_is_read_once() -> None:
    store = CountingStore()
    store.append(1, "create_group", ids={"group_id": "ops"})
    history = AuditHistory().continued(store)
    store.append(2, "join", ids={"group_id": "ops", "event_id": "e1"})
    history = history.continued(store)
    assert [entry.id for entry in history.chains["_system"]] == ["000000000001", "000000000002"]
    assert store.documents == 2
    assert history.continued(store) == history


def test_history_tells_creations_joins_and_re_creations() -> None:
    store = CountingStore()
    store.append(1, "create_group", ids={"group_id": "ops"})
    store.append(2, "join", ids={"group_id": "ops", "event_id": "e1"})
    store.append(3, "join", ids={"group_id": "ops", "event_id": "e1"})
    store.append(4, "refound_group", ids={"group_id": "ops"})
    store.append(5, "refound_group", ids={"group_id": "ops"})
    history = AuditHistory().continued(store)
    assert history.created_groups() == {"ops": 1}
    assert history.joins() == {"e1": 2}
    assert history.recreated_at() == {"ops": 5000}


def test_damaged_entries_are_kept_and_tell_nothing() -> None:
    store = CountingStore()
    store.append(1, "create_group")
    store.append(2, "create_group", ids="ops")
    store.append(3, "create_group", ids={"group_id": "ops"}, at="yesterday")
    store.append(4, "join", ids={"group_id": "ops"})
    history = AuditHistory().continued(store)
    assert len(history.chains["_system"]) == 4
    assert (history.created_groups(), history.joins()) == ({}, {})


def test_a_group_s_chain_is_read_once_the_deployment_s_chain_names_it() -> None:
    store = CountingStore()
    store.append(1, "create_group", chain="_group:ops", ids={"group_id": "ops"})
    assert not AuditHistory().continued(store).created_groups()
    store.append(1, "open_chain", ids={"group_id": "ops"})
    history = AuditHistory().continued(store)
    assert history.created_groups() == {"ops": 1}
    assert (history.names(), history.openings()) == (("_system", "_group:ops"), {"_group:ops": 1})
    store.append(2, "join", chain="_group:ops", ids={"group_id": "ops", "event_id": "e1"})
    assert history.continued(store).joins() == {"e1": 1}
    assert store.documents == 3


def test_entries_from_before_groups_had_chains_count() -> None:
    store = CountingStore()
    store.append(1, "create_group", ids={"group_id": "ops"})
    store.append(2, "refound_group", ids={"group_id": "ops"})
    store.append(3, "open_chain", ids={"group_id": "ops"})
    store.append(1, "refound_group", chain="_group:ops", ids={"group_id": "ops"}, at=9000)
    history = AuditHistory().continued(store)
    assert history.created_groups() == {"ops": 1}
    assert history.recreated_at() == {"ops": 9000}
